import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { expect, onTestFinished, test, vi } from "vitest";
import { announcedBytes, drain, hasBody, Uploads } from "../../services/gateway/uploads.ts";

const withHeaders = (headers: IncomingMessage["headers"], socket = { bytesRead: 0 }) =>
  ({ headers, socket }) as unknown as IncomingMessage;
const ofLength = (length: number) => withHeaders({ "content-length": String(length) });
const chunked = withHeaders({ "transfer-encoding": "chunked" });
const MIB = 1024 * 1024;

/** Admits so many, and gives their answers. */
function admit(uploads: Uploads, org: string, count: number, request: IncomingMessage): EventEmitter[] {
  return Array.from({ length: count }, () => {
    const response = new EventEmitter();
    uploads.admit(org, request, response as unknown as ServerResponse);
    return response;
  });
}

test("what has ended counts no more, of an organization or of all, however much there has been", () => {
  const uploads = new Uploads();
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 8; i++) {
      for (const response of admit(uploads, `org-${i}`, 32, chunked)) response.emit("close");
    }
  }
  for (let i = 0; i < 8; i++) admit(uploads, `org-${i}`, 32, chunked);
});

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
  admit(uploads, "a", 32 * 1024, ofLength(10));
  expect(() => admit(uploads, "a", 1, ofLength(10))).toThrow(
    expect.objectContaining({ code: "too_many_requests", cause: "uploads", retryAfterSeconds: 1 }),
  );
  admit(uploads, "b", 32, ofLength(10 ** 12));
});

test("256 MiB of all", () => {
  const uploads = new Uploads();
  for (let i = 0; i < 7; i++) admit(uploads, `org-${i}`, 32, chunked);
  admit(uploads, "org-7", 31, chunked);
  admit(uploads, "another", 1, ofLength(MIB - 1024));
  admit(uploads, "another", 1, ofLength(1));
  expect(() => admit(uploads, "another", 1, ofLength(1))).toThrow(/too many requests/i);
});

test("32 MiB to the byte", () => {
  const uploads = new Uploads();
  admit(uploads, "a", 31, chunked);
  admit(uploads, "a", 1, ofLength(MIB - 1025));
  expect(() => admit(uploads, "a", 1, ofLength(1026))).toThrow(/too many requests/i);
  admit(uploads, "a", 1, ofLength(1025));
  expect(() => admit(uploads, "a", 1, ofLength(1))).toThrow(/too many requests/i);
});

test("of a body in chunks it is told at the end how much has come", () => {
  const told: [string, number][] = [];
  const uploads = new Uploads((org, bytes) => told.push([org, bytes]));
  const [one, other] = [{ bytesRead: 100 }, { bytesRead: 100 }];
  const [inChunks] = admit(uploads, "a", 1, withHeaders(chunked.headers, one));
  const [announced] = admit(uploads, "a", 1, withHeaders(ofLength(5).headers, other));
  one.bytesRead = 5_100;
  other.bytesRead = 105;
  announced?.emit("close");
  inChunks?.emit("close");
  expect(told).toEqual([["a", 5_000]]);
});

test("the last that ends has its organization forgotten", () => {
  const uploads = new Uploads();
  const forgotten = vi.spyOn(Map.prototype, "delete");
  onTestFinished(() => forgotten.mockRestore());
  const [first, second] = admit(uploads, "a", 2, ofLength(1));
  first?.emit("close");
  expect(forgotten).not.toHaveBeenCalledWith("a");
  second?.emit("close");
  expect(forgotten).toHaveBeenCalledWith("a");
});

test("whether a request has a body, and how long it says that it is", () => {
  expect([chunked, ofLength(1), ofLength(0), withHeaders({})].map(hasBody)).toEqual([
    ...[true, true, false, false],
  ]);
  expect([chunked, ofLength(5), ofLength(10 ** 12)].map(announcedBytes)).toEqual([0, 5, MIB]);
});

test("whoever has gone before being admitted is not counted: nothing would end it", () => {
  const uploads = new Uploads();
  const gone = Object.assign(new EventEmitter(), { destroyed: true }) as unknown as ServerResponse;
  for (let i = 0; i < 300; i++) uploads.admit("a", chunked, gone);
  admit(uploads, "a", 32, chunked);
});

test("of a body that is not wanted 1 MiB is taken, and no more", () => {
  let cut = 0;
  const request = Object.assign(new EventEmitter(), { socket: { destroy: () => cut++ } });
  drain(request as unknown as IncomingMessage);
  request.emit("data", Buffer.alloc(MIB));
  expect(cut).toBe(0);
  request.emit("data", Buffer.alloc(1));
  expect(cut).toBe(1);
});
