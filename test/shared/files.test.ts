import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { readJson, readText, writeFileAtomic, writeJson } from "../../services/shared/files.ts";
import { test } from "../harness/folder.ts";

let folder: string;
test.beforeEach(({ folder: empty }) => {
  folder = empty;
});

const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

test("a written file and the folders made for it are the owner's alone", async () => {
  const path = join(folder, "a", "b", "secret");
  await writeFileAtomic(path, "text");
  expect(await readFile(path, "utf8")).toBe("text");
  expect(await modeOf(path)).toBe(0o600);
  expect(await modeOf(join(folder, "a"))).toBe(0o700);
  expect(await modeOf(join(folder, "a", "b"))).toBe(0o700);
  expect(await readdir(join(folder, "a", "b"))).toEqual(["secret"]);
});

test("overwriting replaces the file, its mode too", async () => {
  const path = join(folder, "file");
  await writeFile(path, "old", { mode: 0o644 });
  await writeFileAtomic(path, "new");
  expect(await readFile(path, "utf8")).toBe("new");
  expect(await modeOf(path)).toBe(0o600);
  await writeFileAtomic(path, "read only", 0o400);
  expect(await modeOf(path)).toBe(0o400);
});

test("a reader sees one whole text among many writers", async () => {
  const path = join(folder, "file");
  const texts = Array.from({ length: 10 }, (_, number) => String(number).repeat(200_000));
  await writeFileAtomic(path, texts[0] ?? "");
  let writing = true;
  const writers = Promise.all(texts.map((text) => writeFileAtomic(path, text))).then(() => {
    writing = false;
  });
  while (writing) expect(texts).toContain(await readFile(path, "utf8"));
  await writers;
  expect(await readdir(folder)).toEqual(["file"]);
});

test("a write that fails leaves the old text and no temporary file", async () => {
  await writeFileAtomic(join(folder, "taken", "inside"), "text");
  await expect(writeFileAtomic(join(folder, "taken"), "text")).rejects.toThrow();
  expect(await readdir(folder)).toEqual(["taken"]);
});

test("what is not there reads as undefined; what is not JSON is an error without the text", async () => {
  expect(await readText(join(folder, "none"))).toBeUndefined();
  expect(await readJson(join(folder, "none"))).toBeUndefined();
  await writeJson(join(folder, "some"), { a: [1] });
  expect(await readJson(join(folder, "some"))).toEqual({ a: [1] });
  await writeFile(join(folder, "bad"), '{"canary": s3cret');
  const error = await readJson(join(folder, "bad")).catch((each: Error) => each);
  expect(String(error)).toContain(join(folder, "bad"));
  expect(String(error)).not.toContain("s3cret");
});
