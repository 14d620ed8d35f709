import type { IncomingMessage } from "node:http";
import { expect, test } from "vitest";
import { checkFraming } from "../../../../services/shared/front/http/check-framing.ts";

const check = (httpVersion: string, headers = {}) =>
  checkFraming({ httpVersion, headers } as unknown as IncomingMessage);

test.each(["0.9", "1.2", "2.0", ""])("version %j is refused", (version) => {
  expect(() => check(version)).toThrow(/HTTP\/1\.1/);
});

test.each([
  ...[
    "cow, chunked",
    "chunked, chunked",
    "gzip, chunked",
    "gzip",
    "identity",
    "Chunked",
    "chunked,",
    "xchunked",
  ],
  ...["chunked ", ""],
])("the transfer coding %j is refused", (coding) => {
  expect(() => check("1.1", { "transfer-encoding": coding })).toThrow(/Transfer-Encoding/);
});

test("chunks are refused in HTTP/1.0", () => {
  const chunks = { "transfer-encoding": "chunked" };
  expect(() => check("1.0", chunks)).toThrow(/HTTP\/1\.1/);
  expect(() => check("1.1", chunks)).not.toThrow();
  expect(() => check("1.0", { "content-length": "2" })).not.toThrow();
});
