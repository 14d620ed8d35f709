import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { expect, test } from "vitest";
import { Uploads } from "../../services/gateway/uploads.ts";

const withBody = { headers: { "content-length": "10" } } as unknown as IncomingMessage;
const chunked = { headers: { "transfer-encoding": "chunked" } } as unknown as IncomingMessage;
const without = { headers: { "content-length": "0" } } as unknown as IncomingMessage;

/** Admits so many, and gives their answers. */
function admit(uploads: Uploads, org: string, count: number, request = withBody): EventEmitter[] {
  return Array.from({ length: count }, () => {
    const response = new EventEmitter();
    uploads.admit(org, request, response as unknown as ServerResponse);
    return response;
  });
}

test("32 of an organization, and again as many as have ended", () => {
  const uploads = new Uploads();
  const [first, second] = admit(uploads, "a", 32, chunked);
  expect(() => admit(uploads, "a", 1)).toThrow(/too many requests/i);
  admit(uploads, "b", 1);
  admit(uploads, "a", 100, without);
  first?.emit("close");
  second?.emit("close");
  admit(uploads, "a", 2);
  expect(() => admit(uploads, "a", 1)).toThrow(/too many requests/i);
});

test("256 of all", () => {
  const uploads = new Uploads();
  for (let i = 0; i < 8; i++) admit(uploads, `org-${i}`, 32);
  expect(() => admit(uploads, "another", 1)).toThrow(/too many requests/i);
});
