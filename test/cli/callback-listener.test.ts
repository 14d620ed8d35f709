import { get } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import { type CallbackListener, listenForCallback } from "../../services/cli/callback-listener.ts";

let listener: CallbackListener | undefined;
afterEach(() => listener?.close());

const visit = (url: string, headers: Record<string, string> = {}, method = "GET") =>
  new Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; text: string }>(
    (resolve, reject) => {
      const { hostname, port } = new URL(url);
      const path = url.replace(/^http:\/\/[^/]+/, "");
      const request = get({ hostname, port, path, headers, method }, async (response) => {
        const chunks: Buffer[] = await response.toArray();
        const text = Buffer.concat(chunks).toString("utf8");
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
      });
      request.on("error", reject);
    },
  );

test("takes the URL with the state, whole, and answers with a plain page", async () => {
  listener = await listenForCallback("calendar", 0);
  expect(listener.redirect).toMatch(/^http:\/\/127\.0\.0\.1:[0-9]+\/callback\/calendar$/);
  const came = listener.callback("the-state", 5_000);
  const url = `${listener.redirect}?code=a%2Fb&state=the-state&iss=https%3A%2F%2Fop.example`;
  const { status, headers, text } = await visit(url);
  expect(status).toBe(200);
  expect(headers).toMatchObject({
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
  });
  expect(text).not.toContain("a%2Fb");
  expect(await came).toBe(url);
});

describe("is not disturbed by", () => {
  test.each([
    ["another state", "?code=x&state=other", {}, 400],
    ["no state", "?code=x", {}, 400],
    ["another path", "/x?code=x&state=the-state", {}, 404],
    ["a page that reached it under another name", "?code=x&state=the-state", { host: "evil.example" }, 404],
  ])("%s", async (_, rest, headers, status) => {
    listener = await listenForCallback("calendar", 0);
    const came = listener.callback("the-state", 5_000);
    expect((await visit(`${listener.redirect}${rest}`, headers)).status).toBe(status);
    const url = `${listener.redirect}?code=right&state=the-state`;
    await visit(url);
    expect(await came).toBe(url);
  });

  test("a POST", async () => {
    listener = await listenForCallback("calendar", 0);
    const came = listener.callback("the-state", 5_000);
    expect((await visit(`${listener.redirect}?state=the-state`, {}, "POST")).status).toBe(404);
    await visit(`${listener.redirect}?state=the-state`);
    expect(await came).toBe(`${listener.redirect}?state=the-state`);
  });

  test("a browser that comes before it is known which state is right", async () => {
    listener = await listenForCallback("calendar", 0);
    expect((await visit(`${listener.redirect}?code=x`)).status).toBe(400);
  });
});

test("stops waiting", async () => {
  listener = await listenForCallback("calendar", 0);
  await expect(listener.callback("the-state", 20)).rejects.toMatchObject({ exit: "unavailable" });
});

test("says that a port is taken", async () => {
  listener = await listenForCallback("calendar", 0);
  const { port } = new URL(listener.redirect);
  await expect(listenForCallback("calendar", Number(port))).rejects.toMatchObject({ exit: "unavailable" });
});
