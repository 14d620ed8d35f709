import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished } from "vitest";
import { newOrgId } from "../../services/shared/org.ts";
import { Politeness } from "../../services/worker/feed/politeness.ts";
import { feedWork } from "../../services/worker/feed.ts";
import { integrationWork } from "../../services/worker/integration.ts";
import { createConnector } from "../../services/worker/outbound/connect.ts";
import { type Connect, connectByTcp } from "../../services/worker/outbound/dial.ts";
import { createExchange, type Outside, type Sent } from "../../services/worker/outbound/exchange.ts";
import { KeptConnections } from "../../services/worker/outbound/kept-connections.ts";
import type { Resolve } from "../../services/worker/outbound/resolve.ts";
import { exceptionFor, headerPolicy, Jobs, keysOf, newJobId, originOf } from "../harness/credential-jobs.ts";
import { test } from "../harness/fixtures.ts";
import { NAMES, NO_ORIGINS, NOT_PUBLIC, PUBLIC } from "./corpus/destinations.ts";

/** Listens where a leak would lead: on every address of this machine. */
let listener: Server;
let port: number;
let connections = 0;
let bytes = 0;
/** What was asked of the network, in place of the real one. */
let dialled: string[] = [];
let resolved: string[] = [];

beforeAll(async () => {
  listener = createServer((socket) => {
    connections++;
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      bytes += chunk.length;
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, "::", resolve));
  port = (listener.address() as AddressInfo).port;
});
afterAll(() => new Promise((resolve) => listener.close(resolve)));
beforeEach(() => {
  connections = 0;
  bytes = 0;
  dialled = [];
  resolved = [];
});

const answering =
  (...addresses: string[]): Resolve =>
  async (host) => {
    resolved.push(host);
    return addresses;
  };
/** The real connector, counted. */
const counting: Connect = (address, to) => {
  dialled.push(address);
  return connectByTcp(address, to);
};
const sent = (origin: string): Sent => ({
  ...{ origin, method: "POST", path: "/v1/a", headers: [["Authorization", "Bearer secret"]] },
  ...{ body: new TextEncoder().encode("body"), maxBody: 1_000 },
});
const never = new AbortController().signal;

/** The ways out of a worker: for jobs and tokens, and for the broker's streams. */
const WAYS: [name: string, make: (outside: Outside) => (origin: string) => Promise<unknown>][] = [
  [
    "an exchange",
    (outside) => {
      const exchange = createExchange(outside);
      return (origin) => exchange(sent(origin), never);
    },
  ],
  [
    "a kept connection",
    ({ totalMs = 5_000, ...network }) => {
      const connections = new KeptConnections(createConnector(network), totalMs);
      return (origin) => connections.open(origin, never);
    },
  ],
];

async function expectNothing(but = { connections: 0 }): Promise<void> {
  // A connection that was begun would be accepted before this one.
  await new Promise<void>((resolve) => {
    const socket = connectByTcp("127.0.0.1", port).once("connect", () => {
      socket.destroy();
      resolve();
    });
  });
  expect(dialled).toEqual([]);
  expect(connections - but.connections).toBe(1);
  expect(bytes).toBe(0);
}

test("the corpus is as large as it is said to be", () => {
  expect(NOT_PUBLIC.length + NO_ORIGINS.length + NAMES.length).toBeGreaterThanOrEqual(300);
});

describe.each(WAYS)("%s", (_, way) => {
  test("the listener counts: what the operator names is connected to", async () => {
    const origin = `https://named.example:${port}`;
    const exception = { origin, address: "127.0.0.1", ca: "" };
    const send = way({
      privateDestinations: new Map([[origin, exception]]),
      connect: counting,
      totalMs: 300,
    });
    await expect(send(origin)).rejects.toMatchObject({ name: "JobFailure" });
    expect(dialled).toEqual(["127.0.0.1"]);
    expect(connections).toBe(1);
  });

  describe("a name that leads to an address that is not public is not connected to", () => {
    test(`${NOT_PUBLIC.length} addresses, alone, before and after a public one`, async () => {
      for (const address of NOT_PUBLIC) {
        for (const answer of [[address], ["1.1.1.1", address], [address, "2606:4700:4700::1111"]]) {
          const send = way({ resolve: answering(...answer), connect: counting });
          await expect(send(`https://provider.example:${port}`), address).rejects.toMatchObject({
            failure: "destination_refused",
          });
        }
      }
      await expectNothing();
    });

    test.each(NAMES)("%s", async (name) => {
      const send = way({ resolve: answering("127.0.0.1"), connect: counting });
      await expect(send(`https://${name}:${port}`)).rejects.toMatchObject({
        failure: "destination_refused",
      });
      await expectNothing();
    });

    test("65 addresses at once", async () => {
      const send = way({
        resolve: answering(...Array.from({ length: 65 }, (_, last) => `1.1.1.${last}`)),
        connect: counting,
      });
      await expect(send("https://provider.example")).rejects.toMatchObject({
        failure: "destination_refused",
      });
      await expectNothing();
    });
  });

  test("public addresses are dialled, each as it was resolved", async () => {
    const refusing: Connect = (address) => {
      dialled.push(address);
      const socket = connectByTcp("127.0.0.1", 1);
      return socket;
    };
    for (const address of PUBLIC) {
      const send = way({ resolve: answering(address), connect: refusing });
      await expect(send("https://provider.example"), address).rejects.toMatchObject({
        failure: "unreachable",
      });
    }
    expect(dialled).toEqual(PUBLIC);
  });

  describe("what is no origin is neither resolved nor connected to", () => {
    test(`${NO_ORIGINS.length} texts as the origin of a policy`, async () => {
      const send = way({ resolve: answering("127.0.0.1"), connect: counting });
      for (const text of NO_ORIGINS) {
        const origin = text.replaceAll("{port}", String(port));
        await expect(send(origin), JSON.stringify(origin)).rejects.toMatchObject({
          failure: "destination_refused",
        });
      }
      expect(resolved).toEqual([]);
      await expectNothing();
    });
  });

  describe("a name server that changes its answers", () => {
    test("is asked once a request, and each answer is checked", async () => {
      const answers = [["1.1.1.1"], ["127.0.0.1"], ["1.1.1.1"], ["::1"]];
      const seen: string[] = [];
      const send = way({
        resolve: async () => answers.shift() ?? [],
        connect: (address) => {
          seen.push(address);
          return connectByTcp("127.0.0.1", 1);
        },
      });
      const failures: string[] = [];
      for (let index = 0; index < 4; index++) {
        await send(`https://rebinding.example:${port}`).catch(({ failure }) => failures.push(failure));
      }
      expect(failures).toEqual(["unreachable", "destination_refused", "unreachable", "destination_refused"]);
      expect(seen).toEqual(["1.1.1.1", "1.1.1.1"]);
      await expectNothing();
    });

    test("a connection that ends at another address than the one dialled gets no byte", async () => {
      let opened: Socket | undefined;
      const send = way({
        resolve: answering("1.1.1.1"),
        connect: () => {
          opened = connectByTcp("127.0.0.1", port);
          return opened;
        },
      });
      await expect(send(`https://rebinding.example:${port}`)).rejects.toMatchObject({
        failure: "destination_refused",
      });
      expect(opened?.destroyed).toBe(true);
      await expectNothing({ connections: 1 });
    });

    test("a name server that does not answer ends the job in time", async () => {
      const send = way({ resolve: () => new Promise(() => {}), connect: counting, totalMs: 50 });
      await expect(send("https://provider.example")).rejects.toMatchObject({
        failure: "timeout",
      });
      await expectNothing();
    });
  });
});

test("what is no origin is not fetched as the URL of a feed either", async () => {
  // Whatever a parser makes of it, no name server is asked for anything but a public DNS name, and none is dialled.
  const exchange = createExchange({ resolve: answering("127.0.0.1"), connect: counting });
  const work = feedWork(exchange, new Politeness({ gapMs: 0 }));
  for (const text of NO_ORIGINS) {
    const url = `${text.replaceAll("{port}", String(port))}/feed.xml`;
    const message = {
      job: newJobId(),
      org: newOrgId(),
      attempt: 1,
      notAfter: 4e9,
      type: "fetch" as const,
      url,
    };
    await expect(work.perform(message, { signal: never, reached: () => {} }), url).rejects.toMatchObject({
      failure: "destination_refused",
    });
  }
  expect([...new Set(resolved)].filter((name) => name !== "provider.example")).toEqual([]);
  await expectNothing();
});

describe("redirects are returned and not followed", () => {
  test("every status, to every kind of place", async ({ recordedOrg: { internal, recorder } }) => {
    const exception = exceptionFor(recorder, internal.ca);
    const exchange = createExchange({
      resolve: answering("127.0.0.1"),
      privateDestinations: new Map([[exception.origin, exception]]),
    });
    const jobs = new Jobs(keysOf(internal, "intake", "integration"), "integration");
    const work = integrationWork(keysOf(internal, "worker-integration", "integration"), exchange);
    const places = [
      ...[
        `https://127.0.0.1:${port}/`,
        `http://localhost:${port}/`,
        `//127.0.0.1:${port}/`,
        `https://[::1]:${port}/`,
      ],
      ...["/v2/admin", `https://provider.example:${port}/`, "http://169.254.169.254/latest/meta-data/"],
    ];
    onTestFinished(() => {
      recorder.answer = undefined;
    });
    recorder.clear();
    let asked = 0;
    for (const status of [300, 301, 302, 303, 305, 307, 308]) {
      for (const place of places) {
        recorder.answer = (_, response) =>
          response
            .writeHead(status, { Location: place, Refresh: `0; url=${place}`, Link: `<${place}>` })
            .end();
        const message = await jobs.request("sk_live_tiger42", headerPolicy(originOf(recorder)));
        const outcome = await work.perform(message, { signal: never, reached: () => {} });
        expect(outcome).toMatchObject({ state: "answered", status });
        asked++;
      }
    }
    expect(recorder.requests).toHaveLength(asked);
    expect(new Set(recorder.requests.map(({ url }) => url))).toEqual(new Set(["/v1/charges"]));
    expect(resolved).toEqual([]);
    await expectNothing();
  });
});
