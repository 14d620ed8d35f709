import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BoundedRequest, boundPieces } from "../../../../services/shared/front/http/pieces.ts";
import { Limits } from "../../../../services/shared/front/limits.ts";
import type { Trace } from "../../../../services/shared/front/request-log.ts";

let server: Server;
let limits: Limits;
/** Of each request: the pieces and bytes that were handed over, and its trace. */
let requests: { pieces: number; bytes: number; trace: Trace }[];
/** Resolves when bodies may be read. */
let read: Promise<unknown>;
beforeEach(async () => {
  limits = new Limits({ address: { perSecond: 0.01, burst: 64 } });
  requests = [];
  read = Promise.resolve();
  server = createServer({ IncomingMessage: BoundedRequest }, async (raw, response) => {
    const seen = { pieces: 0, bytes: 0, trace: { requestId: "id", org: undefined } as Trace };
    requests.push(seen);
    boundPieces({ raw, trace: seen.trace, ip: "192.0.2.1" }, response, limits, (refused, _trace, error) =>
      refused.writeHead(error.status).end(error.message),
    );
    await read;
    raw.on("data", (piece: Buffer) => {
      seen.pieces++;
      seen.bytes += piece.length;
    });
    raw.on("end", () => response.end());
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
});
afterEach(() => server.close());

const chunks = (count: number, bytes: number) =>
  `${bytes.toString(16)}\r\n${"x".repeat(bytes)}\r\n`.repeat(count);
const HEAD = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
const END = "0\r\n\r\n";

/** Sends bytes on a connection of its own, and gives what is answered until it ends. */
async function answers(bytes: string): Promise<string> {
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk;
  });
  socket.on("error", () => {}).write(bytes);
  await once(socket, "close");
  return text;
}
const last = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const owes = () => limits.addressWait("192.0.2.1", performance.now()) > 0;

test.each([
  [256, 1],
  [1_000, 256],
  [4_096, 256],
])("%i pieces of %i bytes are taken, and what comes behind them", async (count, bytes) => {
  const text = await answers(HEAD + chunks(count, bytes) + END + last);
  expect(text.match(/^HTTP\/1\.1 200 /gm)).toHaveLength(2);
  // What is read at once may end within one, which are two then.
  expect(requests.map((each) => each.bytes)).toEqual([count * bytes, 0]);
  expect(owes()).toBe(false);
});

test.each([
  ["in one go", 300, 1],
  ["in more than is read at once", 60_000, 1],
  ["of some length", 2_000, 200],
])("too many pieces, %s: told so, its address pays, and no more of it is read", async (_, count, bytes) => {
  const text = await answers(HEAD + chunks(1, 2) + chunks(count, bytes) + END + last);
  expect(text).toMatch(/^HTTP\/1\.1 413 /);
  expect(text).toMatch(/^connection: close\r$/im);
  expect(text).toContain("The body is refused: it comes in too many small chunks.");
  expect(text.match(/^HTTP/gm)).toHaveLength(1);
  expect(requests).toHaveLength(1);
  expect(requests[0]?.pieces).toBeLessThan(count);
  expect(requests[0]?.trace.error).toMatchObject({ code: "body_too_large", cause: "pieces" });
  expect(owes()).toBe(true);
});

test("nothing of a body that nobody reads yet is kept beyond its pieces", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  read = promise;
  expect(await answers(HEAD + chunks(60_000, 1) + END)).toMatch(/^HTTP\/1\.1 413 /);
  resolve();
  await expect.poll(() => requests[0]?.pieces).toBeLessThanOrEqual(256);
});

test("connections before it and after it are served as ever", async () => {
  const before = connect((server.address() as AddressInfo).port, "127.0.0.1");
  before.write(HEAD + chunks(3, 1));
  await expect.poll(() => requests[0]?.pieces).toBe(3);
  await answers(HEAD + chunks(60_000, 1) + END);
  before.write(chunks(3, 1) + END + last);
  await once(before.resume(), "close");
  for (let i = 0; i < 5; i++) {
    const text = await answers(HEAD + chunks(7, 3) + END + last);
    expect(text.match(/^HTTP\/1\.1 200 /gm)).toHaveLength(2);
  }
  expect(requests.map(({ pieces }) => pieces)).toEqual([
    6,
    expect.any(Number),
    0,
    ...Array(5).fill([7, 0]).flat(),
  ]);
});
