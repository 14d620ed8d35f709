import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createServer, type Server } from "../../../services/shared/http/server.ts";

const CLOSES_WITHIN_MS = 5_000;

let app: Server;
let port: number;
let address: string;
let streams: number;
let release: () => void;
beforeEach(async () => {
  app = createServer(pino({ level: "silent" }));
  const access = { open: "a test" };
  const held = Promise.withResolvers<void>();
  release = held.resolve;
  streams = 0;
  app.get("/held", { config: { access } }, async () => {
    streams++;
    await held.promise;
    return "done";
  });
  app.get("/events", { config: { access } }, async (_, reply) => {
    streams++;
    const gone = new AbortController();
    reply.raw.once("close", () => gone.abort());
    const events = async function* () {
      while (!gone.signal.aborted) {
        yield "data: 1\n\n";
        await sleep(20);
      }
      streams--;
    };
    return reply.type("text/event-stream").send(Readable.from(events()));
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
  ({ port } = app.server.address() as AddressInfo);
  address = `http://127.0.0.1:${port}`;
});
afterEach(async () => {
  release();
  app.server.closeAllConnections();
  await app.close();
});

const closing = () => Promise.race([app.close().then(() => "closed"), sleep(CLOSES_WITHIN_MS, "hangs")]);
const open = async () => {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  socket.on("error", () => {});
  return socket;
};

test.each([
  ["has never sent a request", ""],
  ["has sent a part of its first request", "GET /held HTTP/1.1\r\nHo"],
])("a connection that %s does not hold up the end", async (_, sent) => {
  const socket = await open();
  if (sent) socket.write(sent);
  await expect.poll(() => new Promise((done) => app.server.getConnections((_, n) => done(n)))).toBe(1);
  expect(await closing()).toBe("closed");
  await expect.poll(() => socket.closed).toBe(true);
});

test("a second request that has begun does not hold up the end either", async () => {
  const socket = await open();
  socket.write("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
  await once(socket, "data");
  socket.write("GET /held HTTP/1.1\r\nHo");
  await expect.poll(() => socket.bytesWritten).toBeGreaterThan(50);
  expect(await closing()).toBe("closed");
});

test("streams whose clients aborted after the headers do not, nor requests aborted before", async () => {
  const begun = Array.from({ length: 50 }, () => new AbortController());
  await Promise.all(begun.map(({ signal }) => fetch(`${address}/events`, { signal })));
  const early = Array.from({ length: 50 }, () => new AbortController());
  const asked = early.map(({ signal }) => fetch(`${address}/events`, { signal }).catch(() => {}));
  for (const each of [...begun, ...early]) each.abort();
  await Promise.all(asked);
  expect(await closing()).toBe("closed");
  await expect.poll(() => streams).toBe(0);
});

test("a request in progress is answered before the end", async () => {
  const answer = fetch(`${address}/held`).then((response) => response.text());
  await expect.poll(() => streams).toBe(1);
  const closed = app.close();
  await sleep(600); // more than two sweeps
  release();
  expect(await answer).toBe("done");
  await closed;
});
