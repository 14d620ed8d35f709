import { createServer, type IncomingMessage, type ServerResponse, request as sendRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { dataFrames, FrameParser, jsonFrame } from "../../../services/shared/broker/frames.ts";
import { CallStream } from "../../../services/worker/broker/call-stream.ts";

/** A call whose other end is the returned request. */
async function begin() {
  const { promise, resolve } = Promise.withResolvers<[IncomingMessage, ServerResponse]>();
  const server = createServer((request, response) => resolve([request, response]));
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  const caller = sendRequest({ port, method: "POST" });
  caller.on("error", () => {});
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  caller.flushHeaders();
  const [request, response] = await promise;
  return { caller, request, response, stream: new CallStream(request, response) };
}

test("frames come in order, whatever the pieces", async () => {
  const { caller, stream } = await begin();
  const bytes = Buffer.concat([
    jsonFrame("call", { a: 1 }),
    ...dataFrames(Buffer.from("body")),
    jsonFrame("end", {}),
  ]);
  for (const byte of bytes) caller.write(Buffer.from([byte]));
  caller.end();
  let data = "";
  const types: string[] = [];
  for (;;) {
    const frame = await stream.next(5_000);
    if (!frame) break;
    types.push(frame.type);
    if (frame.type === "data") data += frame.payload.toString();
  }
  expect(types.filter((type) => type !== "data")).toEqual(["call", "end"]);
  expect(data).toBe("body");
  expect(await stream.next(5_000)).toBeUndefined();
});

test("none in time, no frames, and an end within one are malformed", async () => {
  const late = await begin();
  await expect(late.stream.next(20)).rejects.toMatchObject({ failure: "malformed" });
  const none = await begin();
  none.caller.write("hello world");
  await expect(none.stream.next(5_000)).rejects.toMatchObject({ failure: "malformed" });
  const half = await begin();
  half.caller.end(jsonFrame("call", {}).subarray(0, 6));
  await expect(half.stream.next(5_000)).rejects.toMatchObject({ failure: "malformed" });
});

test("a caller that goes is cancelled, at once", async () => {
  const { caller, stream } = await begin();
  const next = stream.next(60_000);
  caller.destroy();
  await expect(next).rejects.toMatchObject({ failure: "cancelled" });
  expect(stream.gone.aborted).toBe(true);
  await expect(stream.next(60_000)).rejects.toMatchObject({ failure: "cancelled" });
  await stream.data(Buffer.alloc(10_000_000));
  stream.end("end", {});
});

test("reads no further than what is taken", async () => {
  const { caller, request, stream } = await begin();
  const block = Buffer.alloc(256 * 1024);
  let sent = 0;
  const send = () => {
    while (sent < 64) {
      sent++;
      let hasRoom = true;
      for (const piece of dataFrames(block)) hasRoom = caller.write(piece);
      if (!hasRoom) return void caller.once("drain", send);
    }
    caller.end();
  };
  send();
  await expect.poll(() => request.isPaused()).toBe(true);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(sent).toBeLessThan(64);
  let taken = 0;
  for (;;) {
    const frame = await stream.next(5_000);
    if (!frame) break;
    taken += frame.payload.length;
  }
  expect(taken).toBe(64 * block.length);
});

test.each([
  ["large pieces", 512 * 1024, 64],
  ["pieces that come one a turn of the event loop", 8 * 1024, 4_096],
])("writes no further than what is read, and keeps the connection after the end: %s", async (_, size, count) => {
  const { caller, response, stream } = await begin();
  const answered = new Promise<IncomingMessage>((resolve) => caller.once("response", resolve));
  caller.end();
  response.writeHead(200);
  stream.send("head", { status: 200 });
  let written = 0;
  const writing = (async () => {
    for (; written < count; written++) {
      await stream.data(Buffer.alloc(size, written));
      await new Promise((resolve) => setImmediate(resolve));
    }
    stream.end("end", { receivedBytes: 1 });
  })();
  await expect.poll(() => response.writableNeedDrain).toBe(true);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(written).toBeLessThan(count);
  expect(response.writableLength).toBeLessThan(4 * 1024 * 1024);
  const answer = await answered;
  const parser = new FrameParser();
  const seen: string[] = [];
  let bytes = 0;
  for await (const chunk of answer) {
    for (const { type, payload } of parser.push(chunk as Buffer)) {
      if (type === "data") bytes += payload.length;
      else seen.push(`${type} ${payload}`);
    }
  }
  await writing;
  expect(bytes).toBe(count * size);
  expect(seen).toEqual(['head {"status":200}', 'end {"receivedBytes":1}']);
  expect(stream.gone.aborted).toBe(false);
});
