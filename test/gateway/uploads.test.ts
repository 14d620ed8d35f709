import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { expect, test } from "vitest";
import { Uploads } from "../../services/gateway/uploads.ts";

const ofLength = (length: number) =>
  ({ headers: { "content-length": String(length) } }) as unknown as IncomingMessage;
const chunked = { headers: { "transfer-encoding": "chunked" } } as unknown as IncomingMessage;
const MIB = 1024 * 1024;

/** Admits so many, and gives their answers. */
function admit(uploads: Uploads, org: string, count: number, request: IncomingMessage): EventEmitter[] {
  return Array.from({ length: count }, () => {
    const response = new EventEmitter();
    uploads.admit(org, request, response as unknown as ServerResponse);
    return response;
  });
}

test("32 MiB of an organization, and again as much as has ended", () => {
  const uploads = new Uploads();
  const [first, second] = [...admit(uploads, "a", 16, chunked), ...admit(uploads, "a", 16, ofLength(MIB))];
  expect(() => admit(uploads, "a", 1, ofLength(1))).toThrow(/too many requests/i);
  admit(uploads, "b", 1, chunked);
  admit(uploads, "a", 100, ofLength(0));
  first?.emit("close");
  second?.emit("close");
  admit(uploads, "a", 2, chunked);
  expect(() => admit(uploads, "a", 1, chunked)).toThrow(/too many requests/i);
});

test("small bodies count little, and those beyond what is taken no more than that", () => {
  const uploads = new Uploads();
  admit(uploads, "a", 10_000, ofLength(10));
  expect(() => admit(uploads, "a", 30_000, ofLength(10))).toThrow(/too many requests/i);
  admit(uploads, "b", 32, ofLength(10 ** 12));
});

test("256 MiB of all", () => {
  const uploads = new Uploads();
  for (let i = 0; i < 8; i++) admit(uploads, `org-${i}`, 32, chunked);
  expect(() => admit(uploads, "another", 1, ofLength(1))).toThrow(/too many requests/i);
});
