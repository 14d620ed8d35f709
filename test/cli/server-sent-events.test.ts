import { expect, test } from "vitest";
import { serverSentEvents } from "../../services/cli/server-sent-events.ts";

const stream = (...chunks: string[]) =>
  new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk));
      controller.close();
    },
  });

async function all(...chunks: string[]) {
  return await Array.fromAsync(serverSentEvents(stream(...chunks)));
}

test("events come out whole, however the stream is cut", async () => {
  const text = ': hello\n\nid: 1\ndata: {"a":1}\n\nid:2\r\ndata:{"b":\r\ndata: 2}\r\n\r\n';
  const expected = [
    { id: "1", data: '{"a":1}' },
    { id: "2", data: '{"b":\n2}' },
  ];
  expect(await all(text)).toEqual(expected);
  expect(await all(...text)).toEqual(expected);
});

test("letters of several bytes that a cut divides are put together again", async () => {
  const bytes = new TextEncoder().encode("data: ü\n\n");
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
      controller.close();
    },
  });
  expect(await Array.fromAsync(serverSentEvents(body))).toEqual([{ data: "ü" }]);
});

test("an event that the stream ends in does not count", async () => {
  expect(await all("id: 1\ndata: x\n")).toEqual([]);
});

test("a line without end is not collected for ever", async () => {
  await expect(all("x".repeat(70_000))).rejects.toThrow("too long");
});
