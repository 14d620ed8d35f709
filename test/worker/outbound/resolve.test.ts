import { createSocket } from "node:dgram";
import { describe, expect, onTestFinished, test } from "vitest";
import { isPublicAddress, isSameAddress } from "../../../services/worker/outbound/public-address.ts";
import { dnsResolve, publicAddresses } from "../../../services/worker/outbound/resolve.ts";

describe("the addresses of a name", () => {
  test("are returned, IPv4 first", async () => {
    const resolve = async () => ["2606:4700::1111", "1.1.1.1", "2606:4700::1", "1.0.0.1"];
    expect(await publicAddresses("a.example", resolve)).toEqual([
      ...["1.1.1.1", "1.0.0.1", "2606:4700::1111", "2606:4700::1"],
    ]);
  });

  test("that are none, or cannot be asked for, may be there later", async () => {
    const failing = async () => {
      throw new Error("no name server");
    };
    for (const resolve of [async () => [], failing]) {
      await expect(publicAddresses("a.example", resolve)).rejects.toMatchObject({
        failure: "unreachable",
        isTransient: true,
      });
    }
  });
});

test("the same address in another spelling is the same", () => {
  expect(isSameAddress("2606:4700:0:0:0:0:0:1", "2606:4700::1")).toBe(true);
  expect(isSameAddress("1.1.1.1", "1.1.1.2")).toBe(false);
  expect(isSameAddress("1.1.1.1", "::ffff:1.1.1.1")).toBe(false);
  expect(isSameAddress("", "")).toBe(false);
  expect(isPublicAddress("1.1.1.1")).toBe(true);
});

const A = 1;

/** A name server that answers each question for A records with the next of the addresses, and has no AAAA records. */
async function startNameServer(addresses: string[]): Promise<{ server: string; asked: string[] }> {
  const asked: string[] = [];
  const socket = createSocket("udp4");
  socket.on("message", (query, { port, address }) => {
    const labels: string[] = [];
    let at = 12;
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.toString("latin1", at + 1, at + 1 + length));
      at += 1 + length;
    }
    const type = query.readUInt16BE(at + 1);
    const question = query.subarray(12, at + 5);
    const next = type === A ? addresses.shift() : undefined;
    if (type === A) asked.push(labels.join("."));
    const answer = next
      ? [0xc0, 12, 0, A, 0, 1, 0, 0, 0, 0, 0, 4, ...next.split(".").map(Number)]
      : undefined;
    const head = [...query.subarray(0, 2), 0x81, 0x80, 0, 1, 0, answer ? 1 : 0, 0, 0, 0, 0];
    socket.send(Buffer.from([...head, ...question, ...(answer ?? [])]), port, address);
  });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  onTestFinished(() => new Promise((resolve) => socket.close(() => resolve())));
  return { server: `127.0.0.1:${socket.address().port}`, asked };
}

describe("a real name server", () => {
  test("that changes its answer is asked once each time, and its inner answer is refused", async () => {
    const { server, asked } = await startNameServer(["1.1.1.1", "127.0.0.1", "8.8.8.8"]);
    const resolve = dnsResolve([server]);
    expect(await publicAddresses("rebinding.example", resolve)).toEqual(["1.1.1.1"]);
    await expect(publicAddresses("rebinding.example", resolve)).rejects.toMatchObject({
      failure: "destination_refused",
    });
    expect(await publicAddresses("rebinding.example", resolve)).toEqual(["8.8.8.8"]);
    expect(asked).toEqual(["rebinding.example", "rebinding.example", "rebinding.example"]);
  });

  test("that has no record is believed; one that is silent is not waited for", async () => {
    const { server } = await startNameServer([]);
    await expect(publicAddresses("gone.example", dnsResolve([server]))).rejects.toThrow("has no address");
    const silent = createSocket("udp4");
    await new Promise<void>((resolve) => silent.bind(0, "127.0.0.1", resolve));
    onTestFinished(() => new Promise((resolve) => silent.close(() => resolve())));
    const since = performance.now();
    const resolve = dnsResolve([`127.0.0.1:${silent.address().port}`]);
    await expect(publicAddresses("slow.example", resolve)).rejects.toThrow("cannot be resolved now");
    expect(performance.now() - since).toBeLessThan(10_000);
  });
});
