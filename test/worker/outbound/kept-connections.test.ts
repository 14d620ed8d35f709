import type { TLSSocket } from "node:tls";
import { expect, onTestFinished, test, vi } from "vitest";
import { createConnector } from "../../../services/worker/outbound/connect.ts";
import { KeptConnections } from "../../../services/worker/outbound/kept-connections.ts";
import { Exchanged } from "../../../services/worker/outbound/stream.ts";
import { certificateOf, ok, startRawDestination } from "../../harness/raw-destination.ts";

const certificate = certificateOf("provider.example");
const never = new AbortController().signal;

async function start(react: (socket: TLSSocket) => void = (socket) => void socket.write(ok())) {
  const server = await startRawDestination(certificate, react);
  const { origin, exception } = server;
  const connections = new KeptConnections(
    createConnector({ privateDestinations: new Map([[origin, exception]]) }),
  );
  onTestFinished(() => {
    connections.close();
    server.close();
  });
  const use = async (owner = "acme", isSure = false) => {
    const connection = connections.kept(owner, origin, isSure) ?? (await connections.open(origin, never));
    const { isKept } = connection;
    const request = { origin, method: "GET", path: "/", headers: [], length: undefined };
    const exchanged = new Exchanged(connection, request);
    exchanged.end();
    for await (const _ of exchanged.body());
    if (await exchanged.released()) connections.keep(owner, origin, connection);
    return { isKept, connection };
  };
  return { server, connections, use, origin };
}

test("a connection takes one request after another, of its owner alone", async () => {
  const { server, connections, use, origin } = await start();
  expect((await use()).isKept).toBe(false);
  for (let count = 0; count < 20; count++) expect((await use()).isKept).toBe(true);
  expect((await use("globex")).isKept).toBe(false);
  expect(connections.size).toBe(2);
  expect(connections.kept("acme", `${origin}0`, false)).toBeUndefined();
  expect(server.sockets.size).toBe(2);
  expect(server.seen).toHaveLength(22);
});

test("one that the destination closes, or says that it closes, is not kept", async () => {
  const closing = await start((socket) => void socket.end(ok()));
  await closing.use();
  await expect.poll(() => closing.connections.size).toBe(0);
  const saying = await start((socket) => void socket.write(ok("ok", "Connection: close\r\n")));
  await saying.use();
  expect(saying.connections.size).toBe(0);
  const soon = await start((socket) => void socket.write(ok("ok", "Keep-Alive: timeout=1\r\n")));
  await soon.use();
  await expect.poll(() => soon.connections.size).toBe(0);
});

test("one on which something comes unasked is ended", async () => {
  const { server, connections, use } = await start();
  await use();
  expect(connections.size).toBe(1);
  for (const socket of server.sockets) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
  await expect.poll(() => connections.size).toBe(0);
  expect((await use()).isKept).toBe(false);
});

test("no more than 32 of an owner are idle, and none after the end", async () => {
  const { server, connections, origin } = await start();
  const opened = await Promise.all(Array.from({ length: 34 }, () => connections.open(origin, never)));
  for (const connection of opened) connections.keep("acme", origin, connection);
  await expect.poll(() => connections.size).toBe(32);
  expect(opened[0]?.socket.destroyed && opened[1]?.socket.destroyed).toBe(true);
  connections.close();
  await expect.poll(() => connections.size).toBe(0);
  await expect.poll(() => [...server.sockets].every(({ destroyed }) => destroyed)).toBe(true);
  const late = await connections.open(origin, never);
  connections.keep("acme", origin, late);
  expect(late.socket.destroyed).toBe(true);
});

test("for what must not be repeated, only one that has just been used is taken", async () => {
  const { use } = await start();
  await use();
  expect((await use("acme", true)).isKept).toBe(true);
  const now = performance.now();
  const clock = vi.spyOn(performance, "now").mockReturnValue(now + 4_500);
  onTestFinished(() => clock.mockRestore());
  expect((await use("acme", true)).isKept).toBe(false);
});

test("connecting has its time, names' included", async () => {
  const connections = new KeptConnections(createConnector({ resolve: () => new Promise(() => {}) }), 50);
  await expect(connections.open("https://provider.example", never)).rejects.toMatchObject({
    failure: "timeout",
  });
  await expect(connections.open("https://127.0.0.1", never)).rejects.toMatchObject({
    failure: "destination_refused",
  });
});
