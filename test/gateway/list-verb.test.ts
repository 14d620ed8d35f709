import fc from "fast-check";
import { expect, test } from "vitest";
import { parseList } from "../../services/gateway/list-verb.ts";

const head = (target: string, ...headers: string[]) =>
  Buffer.from([`LIST ${target} HTTP/1.1`, "Host: x", ...headers, "", ""].join("\r\n"), "latin1");

test("a head becomes the GET that means the same", () => {
  expect(
    parseList(head("/v1/secret/metadata/app", "X-Vault-Token: a.b.c", "Accept:*/*", "X-Empty:")),
  ).toEqual({
    url: "/v1/secret/metadata/app?list=true",
    headers: { host: "x", "x-vault-token": "a.b.c", accept: "*/*", "x-empty": "" },
  });
  expect(parseList(head("/v1/secret/metadata/a%20b/?list=true"))?.url).toBe(
    "/v1/secret/metadata/a%20b/?list=true",
  );
  expect(parseList(head("/v1/secret/metadata", "Content-Length: 0"))?.url).toBe(
    "/v1/secret/metadata?list=true",
  );
});

test("a header that comes twice stays two, for those who check it", () => {
  expect(parseList(head("/v1/x", "X-Vault-Token: a", "x-vault-token: b"))?.headers["x-vault-token"]).toEqual([
    "a",
    "b",
  ]);
});

test("a target that is not canonical is refused before anything could make it so", () => {
  for (const target of [
    "/v1/secret/data/../metadata/x",
    "/v1/a/./b",
    "/v1//a",
    "/v1/%2e%2e/a",
    "/v1/a\\b",
    "/v1/a#b",
  ]) {
    expect(parseList(head(target))).toBeUndefined();
  }
});

test("whatever the bytes, what is taken has a canonical target and plain headers", () => {
  const piece = fc.constantFrom(
    ...[
      "\r\n",
      "\n",
      "\r",
      " ",
      "\t",
      ":",
      "a",
      "Host: x",
      "LIST ",
      "/v1/a",
      "/../",
      "?list=true",
      " HTTP/1.1",
    ],
    ...["Content-Length: 0", "Content-Length: 5", "Transfer-Encoding: chunked", "\0", "\u00ff", "{}"],
  );
  const bytes = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(""));
  fc.assert(
    fc.property(fc.constantFrom("", "LIST /v1/a HTTP/1.1\r\nHost: x\r\n"), bytes, (start, more) => {
      const taken = parseList(Buffer.from(`${start}${more}\r\n\r\n`, "latin1"));
      if (!taken) return;
      expect(taken.url).toMatch(/^\/[\w.~@+=,:/-]*\?list=true$/);
      expect(taken.url).not.toContain("..");
      expect(taken.headers["transfer-encoding"]).toBeUndefined();
      expect(taken.headers["content-length"] ?? "0").toBe("0");
      for (const value of Object.values(taken.headers).flat()) expect(value).toMatch(/^[\x20-\x7e]*$/);
    }),
    { numRuns: 3_000 },
  );
});
