import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { requestOf } from "../../services/cli/use-request.ts";

test("method, path, query, headers and text are taken apart", async () => {
  expect(
    await requestOf("post", "/v1/items?limit=5&q=a%20b", { header: { Accept: "text/csv" }, data: "x" }),
  ).toEqual({
    method: "POST",
    path: "/v1/items",
    query: { limit: "5", q: "a b" },
    headers: { Accept: "text/csv" },
    body: { text: "x" },
  });
  expect(await requestOf("GET", "/v1/me", {})).toEqual({ method: "GET", path: "/v1/me" });
});

test("a file's bytes are the body, at most 128 KiB of them", async () => {
  const folder = await mkdtemp(join(tmpdir(), "strongroom-request-"));
  try {
    const file = join(folder, "body");
    await writeFile(file, Buffer.from([0, 255]));
    expect((await requestOf("PUT", "/", { dataFile: file })).body).toEqual({ base64: "AP8=" });
    await writeFile(file, Buffer.alloc(128 * 1024 + 1));
    await expect(requestOf("PUT", "/", { dataFile: file })).rejects.toMatchObject({ exit: "usage" });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test.each([
  ["another method", "TRACE", "/", {}],
  ["a repeated parameter, of which one would be lost", "GET", "/?a=1&a=2", {}],
  ["two bodies", "POST", "/", { data: "a", dataFile: "b" }],
  ["a file that is not there", "POST", "/", { dataFile: "/nowhere" }],
])("%s is refused", async (_, method, path, options) => {
  await expect(requestOf(method, path, options)).rejects.toMatchObject({ exit: "usage" });
});
