import { EventEmitter, once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { boundConnections } from "../../../../services/shared/front/http/connections.ts";

let sockets: Socket[];
beforeEach(() => {
  sockets = [];
});
afterEach(() => {
  for (const socket of sockets) socket.destroy();
});

async function serverWith(byAddress: boolean, isBarred?: (address: string | undefined) => boolean) {
  const server = createServer((socket) => socket.on("error", () => {}));
  boundConnections(server, { byAddress, ...(isBarred && { isBarred }) });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  let closed = 0;
  const open = async (count: number, localAddress: string) => {
    for (let i = 0; i < count; i++) {
      const socket = connect({ port, host: "127.0.0.1", localAddress });
      socket.on("error", () => {}).on("close", () => closed++);
      sockets.push(socket.resume());
      await once(socket, "connect");
    }
  };
  const held = () =>
    new Promise<number>((resolve) => server.getConnections((_error, count) => resolve(count)));
  return { open, held, closed: () => closed, close: () => server.close() };
}

test("each address has its own bound, and a closed connection frees a place", async () => {
  const { open, held, closed, close } = await serverWith(true);
  await open(2_010, "127.0.0.1");
  await expect.poll(closed).toBe(10);
  expect(await held()).toBe(2_000);
  await open(5, "127.0.0.2");
  await expect.poll(held).toBe(2_005);
  for (const socket of sockets.slice(0, 3)) socket.destroy();
  await expect.poll(held).toBe(2_002);
  await open(3, "127.0.0.1");
  await expect.poll(held).toBe(2_005);
  close();
});

test("connections from a barred address are refused", async () => {
  const barred = new Set(["127.0.0.3"]);
  const { open, held, closed, close } = await serverWith(true, (address = "") => barred.has(address));
  await open(2, "127.0.0.3");
  await open(1, "127.0.0.4");
  await expect.poll(closed).toBe(2);
  expect(await held()).toBe(1);
  close();
});

test("at most 20,000 connections in all", async () => {
  for (const byAddress of [true, false]) {
    const server = createServer();
    boundConnections(server, { byAddress });
    expect(server.maxConnections).toBe(20_000);
  }
});

test("behind a proxy, connections are not bounded by address", async () => {
  const { open, held, close } = await serverWith(false);
  await open(2_010, "127.0.0.1");
  await expect.poll(held).toBe(2_010);
  close();
});

describe("of one address", () => {
  function accepting() {
    const server = new EventEmitter();
    boundConnections(server as Server, { byAddress: true });
    return (remoteAddress: string) => {
      const socket = Object.assign(new EventEmitter(), { remoteAddress, destroy: vi.fn() });
      server.emit("connection", socket);
      return { isRefused: () => socket.destroy.mock.calls.length > 0, close: () => socket.emit("close") };
    };
  }

  test("at most 2,000 are open, counting an IPv6 /64 as one address; each close frees a place", () => {
    const accept = accepting();
    const open = Array.from({ length: 2_000 }, (_, i) => accept(`2001:db8:1:2::${i.toString(16)}`));
    expect(open.some((each) => each.isRefused())).toBe(false);
    expect(accept("2001:db8:1:2::ffff").isRefused()).toBe(true);
    for (const each of open.slice(0, 2)) each.close();
    const next = Array.from({ length: 3 }, () => accept("2001:db8:1:2::1"));
    expect(next.map((each) => each.isRefused())).toEqual([false, false, true]);
    expect(accept("2001:db8:1:3::1").isRefused()).toBe(false);
  });

  test("the last close removes the address", () => {
    const accept = accepting();
    const forgotten = vi.spyOn(Map.prototype, "delete");
    onTestFinished(() => forgotten.mockRestore());
    const [first, second] = [accept("192.0.2.1"), accept("192.0.2.1")];
    first.close();
    expect(forgotten).not.toHaveBeenCalledWith("192.0.2.1");
    second.close();
    expect(forgotten).toHaveBeenCalledWith("192.0.2.1");
  });
});
