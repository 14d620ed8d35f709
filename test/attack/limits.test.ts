import { randomUUID } from "node:crypto";
import { connect } from "node:net";
import { beforeEach, describe, expect, onTestFinished, vi } from "vitest";
import { startCorpus } from "../harness/corpus.ts";
import { test } from "../harness/fixtures.ts";
import { flood, getRequest } from "../harness/flood.ts";
import { startGateway, type TestGateway, type TestGatewayOptions } from "../harness/gateway.ts";
import type { Recorder } from "../harness/recorder.ts";
import { encode, type TestIssuer } from "../harness/tokens.ts";
import type { InternalVault } from "../harness/vault.ts";

const WHOLE = process.env.ATTACK === "whole";
const PATH = "/v1/secret/data/app/db";
const corpus = startCorpus("unknown keys");

let internal: InternalVault;
let issuer: TestIssuer;
let acme: Recorder;
let globex: Recorder;
test.beforeAll(({ recordedOrgs }) => {
  ({ internal, issuer, acme, globex } = recordedOrgs);
});
beforeEach(() => {
  acme.clear();
  globex.clear();
});

async function gatewayWith(options: Partial<TestGatewayOptions>): Promise<TestGateway> {
  const orgs = [
    { id: acme.org, claim: "org_acme", address: acme.address },
    { id: globex.org, claim: "org_globex", address: globex.address },
  ];
  const gateway = await startGateway({ issuers: [issuer], ca: internal.ca, orgs, ...options });
  onTestFinished(() => gateway.close());
  return gateway;
}

const portOf = ({ url }: TestGateway) => Number(new URL(url).port);
const newToken = (org = "org_acme") => issuer.token({ sub: randomUUID(), org_id: org });
/** A token that looks like the issuer's, but for its key. */
const unknownKey = () =>
  `${encode({ alg: "RS256", kid: randomUUID() })}.${encode(issuer.claims({ sub: randomUUID() }))}.${"A".repeat(342)}`;

/** So many requests, each made when it is its turn. */
function times(count: number, make: () => string): () => string | undefined {
  let made = 0;
  return () => (made++ < count ? make() : undefined);
}

test("a flood of unknown keys has the issuer's keys fetched once in 30 seconds", async () => {
  const gateway = await gatewayWith({ now: () => Date.now() });
  const good = newToken();
  expect((await gateway.call("GET", PATH, { token: good })).status).toBe(200);
  const fetches = issuer.fetches;
  const count = WHOLE ? 20_000 : 2_000;
  acme.clear();
  const run = async (requests: number) => {
    const next = times(requests, () => getRequest(PATH, unknownKey()));
    const answered = (status: number) =>
      corpus.count("unknown key", { accepted: status < 400, forwarded: acme.requests.length > 0 });
    return flood({ port: portOf(gateway), connections: 32, next, answered });
  };
  expect(await run(count)).toEqual({ 403: count });
  expect(issuer.fetches).toBe(fetches);
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 31_000 });
  try {
    expect(await run(count / 4)).toEqual({ 403: count / 4 });
    expect(issuer.fetches).toBe(fetches + 1);
  } finally {
    vi.useRealTimers();
  }
  expect((await gateway.call("GET", PATH, { token: good })).status).toBe(200);
  expect([...corpus.accepted, ...corpus.forwarded]).toEqual([]);
});

describe("an address whose requests come to nothing", () => {
  // So slow that on no machine it has time to give anything back.
  const limits = { address: { perSecond: 0.01, burst: 20 } };

  test("is told to wait before anything is verified, with 429 and a Retry-After", async () => {
    const gateway = await gatewayWith({ limits });
    const heads: string[] = [];
    const statuses = await flood({
      port: portOf(gateway),
      connections: 100,
      next: times(200, () => getRequest(PATH, unknownKey())),
      answered: (status, _ms, head) => status === 429 && heads.push(head),
    });
    expect(Object.keys(statuses)).toEqual(["403", "429"]);
    expect(statuses[403]).toBeLessThan(40);
    for (const head of heads) expect(head).toMatch(/^retry-after: [1-9]\d*\r?$/im);
    const refused = gateway.log().filter(({ status }) => status === 429);
    expect(refused.every(({ reason, cause }) => reason === "too_many_requests" && cause === "address")).toBe(
      true,
    );
    expect(acme.connections).toBe(0);
    const again = await gateway.call("GET", PATH, { token: unknownKey() });
    expect(again).toMatchObject({ status: 429, json: { errors: ["Too many requests: try again later."] } });
  });

  test("takes nothing from callers who were verified before, nor from other addresses", async () => {
    const gateway = await gatewayWith({ limits: { address: { perSecond: 0.2, burst: 20 } } });
    const known = newToken();
    expect((await gateway.call("GET", PATH, { token: known })).status).toBe(200);
    await flood({ port: portOf(gateway), connections: 60, next: times(60, () => getRequest(PATH, "x")) });
    expect((await gateway.call("GET", PATH, { token: newToken() })).status).toBe(429);
    for (let i = 0; i < 50; i++) expect((await gateway.call("GET", PATH, { token: known })).status).toBe(200);
    expect((await gateway.call("GET", PATH, { token: newToken(), from: "127.0.0.2" })).status).toBe(200);
    expect((await gateway.call("GET", "/v1/sys/health", { from: "127.0.0.2" })).status).toBe(200);
    // Its time comes again, without anyone's help.
    const ask = async () => (await gateway.call("GET", PATH, { token: newToken() })).status;
    await expect.poll(ask, { timeout: 30_000, interval: 100 }).toBe(200);
  });

  test("pays for whatever it asks: no token, no path, LIST, and the open paths", async () => {
    for (const request of [
      "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET /v1/../x HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n",
      "LIST /v1/secret/metadata HTTP/1.1\r\nHost: x\r\n\r\n",
    ]) {
      const gateway = await gatewayWith({ limits });
      const statuses = await flood({
        port: portOf(gateway),
        connections: 80,
        next: times(80, () => request),
      });
      expect(statuses[429], request).toBeGreaterThan(30);
    }
  });

  test("is the last that the proxy in front has added, and none that the caller writes", async () => {
    const gateway = await gatewayWith({ limits, behindProxy: true });
    const ask = (forwarded: string, token = "x") =>
      gateway.call("GET", PATH, { token, headers: { "x-forwarded-for": forwarded } });
    for (let i = 0; i < 20; i++) await ask(`10.0.0.${i}, 203.0.113.7`);
    expect((await ask("10.1.1.1, 203.0.113.7", newToken())).status).toBe(429);
    expect((await ask("203.0.113.7, 203.0.113.8", newToken())).status).toBe(200);
    const direct = await gatewayWith({ limits });
    for (let i = 0; i < 20; i++) {
      await direct.call("GET", PATH, { token: "x", headers: { "x-forwarded-for": `203.0.113.${i}` } });
    }
    expect((await direct.call("GET", PATH, { token: newToken() })).status).toBe(429);
  });

  test("that sends good tokens is never told to wait", async () => {
    const gateway = await gatewayWith({ limits });
    const next = times(200, () => getRequest(PATH, newToken()));
    expect(await flood({ port: portOf(gateway), connections: 20, next })).toEqual({ 200: 200 });
  });
});

describe("an organization that asks without end", () => {
  // So slow that on no machine it has time to give much back.
  const limits = { org: { perSecond: 2, burst: 50 } };

  test("is told to wait after its verification; others' requests pass, and its Vault sees no more than its share", async () => {
    const gateway = await gatewayWith({ limits });
    const token = newToken();
    const heads: string[] = [];
    const began = performance.now();
    const running = flood({
      port: portOf(gateway),
      connections: 64,
      next: times(400, () => getRequest(PATH, token)),
      answered: (status, _ms, head) => status === 429 && heads.push(head),
    });
    for (let i = 0; i < 20; i++) {
      const answer = await gateway.call("GET", PATH, { token: newToken("org_globex") });
      expect(answer.status).toBe(200);
    }
    const statuses = await running;
    const share = 50 + (2 * (performance.now() - began)) / 1_000 + 1;
    expect(Object.keys(statuses)).toEqual(["200", "429"]);
    expect(statuses[200]).toBeGreaterThanOrEqual(50);
    expect(statuses[200]).toBeLessThanOrEqual(share);
    expect(acme.requests.filter(({ url }) => url === PATH)).toHaveLength(statuses[200] ?? 0);
    for (const head of heads) expect(head).toMatch(/^retry-after: 1\r?$/im);
    expect(gateway.log().find(({ status }) => status === 429)).toMatchObject({ org: acme.org, cause: "org" });
  });

  test("is not let off by other tokens of the same organization", async () => {
    const gateway = await gatewayWith({ limits });
    const next = times(150, () => getRequest(PATH, newToken()));
    const statuses = await flood({ port: portOf(gateway), connections: 64, next });
    expect(statuses[429]).toBeGreaterThan(30);
  });

  test("nor does it fill the memory with bodies that never end; those of others pass", async () => {
    const gateway = await gatewayWith({});
    const token = newToken();
    const sockets = Array.from({ length: 60 }, () => connect(portOf(gateway), "127.0.0.1"));
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy();
    });
    const head = `POST ${PATH} HTTP/1.1\r\nHost: x\r\nX-Vault-Token: ${token}\r\nContent-Length: 1048576\r\n\r\n{`;
    let refused = 0;
    for (const socket of sockets) {
      socket.on("error", () => {});
      socket.on("data", (chunk) => {
        if (/^HTTP\/1\.1 429 /.test(chunk.toString())) refused++;
      });
      socket.write(head);
    }
    await expect.poll(() => refused).toBe(28);
    const write = { body: { data: {} } };
    expect((await gateway.call("POST", PATH, { token: newToken("org_globex"), ...write })).status).toBe(200);
    expect((await gateway.call("POST", PATH, { token, ...write })).status).toBe(429);
    expect((await gateway.call("GET", PATH, { token })).status).toBe(200);
    for (const socket of sockets) socket.destroy();
    const again = async () => (await gateway.call("POST", PATH, { token, ...write })).status;
    await expect.poll(again).toBe(200);
  });
});
