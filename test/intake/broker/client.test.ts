import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { Type } from "typebox";
import { afterAll, beforeAll, expect, test } from "vitest";
import { selfSignedCertificate } from "../../../services/cli/platform/self-signed-certificate.ts";
import { type BrokerClient, createBrokerClient } from "../../../services/intake/broker/client.ts";
import type { BrokerSettings } from "../../../services/intake/broker/connections.ts";
import { pinsOf } from "../../../services/shared/broker/pinned.ts";
import { type FrameServer, startFrameServer } from "./frame-server.ts";

let server: FrameServer;
beforeAll(async () => {
  server = await startFrameServer();
});
afterAll(() => server.close());

const Answer = Type.Object({ sum: Type.Integer() });

async function asked(
  settings: BrokerSettings,
  work: (client: BrokerClient) => Promise<unknown>,
): Promise<unknown> {
  const client = createBrokerClient(settings);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}
const ask = (client: BrokerClient) => client.ask("add", { a: 1, b: 2 }, Answer);
const away = { code: "broker_unavailable", status: 503 };

test("an operation is asked with the intake's own certificate, and its answer checked", async () => {
  server.operate = (operation, body) => ({
    status: operation === "add" ? 200 : 404,
    json: { sum: 3, ...body },
  });
  expect(await asked(server.settings, ask)).toMatchObject({ sum: 3 });
  const [own] = pinsOf(server.settings.client.certificate, "own");
  expect(server.clients.at(-1)).toBe(own);
  server.operate = () => ({ status: 200, json: { sum: "three" } });
  await expect(asked(server.settings, ask)).rejects.toMatchObject(away);
});

test("a refusal has the code that its failure stands for", async () => {
  server.operate = () => ({
    ...{ status: 502, json: { failure: "timeout", detail: "It took too long.", isSent: true } },
  });
  await expect(asked(server.settings, ask)).rejects.toMatchObject({
    ...{ code: "destination_timeout", failed: { failure: "timeout", isSent: true } },
  });
});

test("whoever has another certificate than the pinned one gets nothing, not even the head of a request", async () => {
  const other = await startFrameServer();
  const before = other.calls.length;
  const settings = { ...server.settings, url: other.url };
  await expect(asked(settings, ask)).rejects.toMatchObject(away);
  const broke = await asked(settings, async (client) => {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    client.use({ org: "o" } as never, {
      frames: () => resolve(true),
      broke: (_, hasGone) => resolve(hasGone),
    });
    return promise;
  });
  expect(broke).toBe(false);
  expect(other.calls.length).toBe(before);
  await other.close();
});

test("nobody there, or somebody who does not speak: known within seconds", async () => {
  const sockets: Socket[] = [];
  const silent = createServer((socket) => void sockets.push(socket));
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address() as { port: number };
  for (const url of ["https://127.0.0.1:1", `https://127.0.0.1:${port}`]) {
    const began = performance.now();
    await expect(asked({ ...server.settings, url }, ask)).rejects.toMatchObject(away);
    expect(performance.now() - began).toBeLessThan(6_000);
  }
  for (const socket of sockets) socket.destroy();
  silent.close();
});

test("an answer that is too large is not read", async () => {
  server.operate = () => ({ status: 200, json: { sum: 3, more: "x".repeat(1_000_000) } });
  await expect(asked(server.settings, ask)).rejects.toMatchObject(away);
});

test("pins are certificates, one or more, and nothing else", () => {
  const [one, two] = [selfSignedCertificate("a", 1), selfSignedCertificate("b", 1)];
  expect(pinsOf(one.certificate + two.certificate, "PINS").size).toBe(2);
  for (const text of ["", "no PEM", one.key.reveal(), one.certificate + one.key.reveal()]) {
    expect(() => pinsOf(text, "PINS")).toThrow(/^PINS: /);
  }
});
