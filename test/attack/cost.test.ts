import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from "vitest";
import { cpuMicros } from "../bench/cpu.ts";
import { exchange, flood, getRequest } from "../harness/flood.ts";
import { startGateway } from "../harness/gateway.ts";
import { type GatewayProcess, startGatewayProcess } from "../harness/gateway-process.ts";
import { answerAsVault, type Recorder, startRecorder } from "../harness/recorder.ts";
import { startIssuer, type TestIssuer } from "../harness/tokens.ts";
import { type InternalVault, type OrgVault, startInternalVault, startOrgVault } from "../harness/vault.ts";
import { type Head, read, SHAPES, type Shape } from "./corpus/costs.ts";

const PATH = "/v1/secret/data/app/db";
const FLOODER = fileURLToPath(new URL("../harness/flooder.ts", import.meta.url));

let internal: InternalVault;
let issuer: TestIssuer;
/** A Vault of its own; the other two show what reaches them. */
let acme: OrgVault;
let globex: Recorder;
let initech: Recorder;
beforeAll(async () => {
  [internal, issuer] = await Promise.all([startInternalVault(inject("vaultBinary")), startIssuer()]);
  [acme, globex, initech] = await Promise.all([
    startOrgVault(internal, { claim: "org_acme", issuer, machineTokens: true }),
    startRecorder(internal),
    startRecorder(internal),
  ]);
  await acme.root.write("secret/data/app/db", { data: { a: "b" } });
});
afterAll(async () => {
  await Promise.all([acme?.stop(), globex?.close(), initech?.close(), issuer?.close()]);
  await internal?.stop();
});

const orgs = () => [
  { id: acme.org, claim: "org_acme", address: acme.endpoint.address, machineTokens: true as const },
  { id: globex.org, claim: "org_globex", address: globex.address },
  { id: initech.org, claim: "org_initech", address: initech.address, machineTokens: true as const },
];
const newToken = (org: string, level = "admin") =>
  issuer.token({ sub: randomUUID(), org_id: org, [issuer.issuer.groupsClaim]: [level] });
const headOf = (token: string): Head => ({ path: PATH, token: `X-Vault-Token: ${token}` });

/** With the limits that a gateway has unless it is told others. */
async function gatewayWith(settings: Record<string, string> = {}): Promise<GatewayProcess> {
  const gateway = await startGatewayProcess({ issuers: [issuer], ca: internal.ca, orgs: orgs(), settings });
  onTestFinished(() => gateway.stop());
  return gateway;
}

/** Sends a request again and again from a process of its own, until it is stopped. */
function startFlooder(port: number, raw: Buffer): { stop(): Promise<Record<number, number>> } {
  const child: ChildProcess = spawn(process.execPath, [FLOODER], {
    env: { PATH: "/usr/bin:/bin" },
    stdio: ["pipe", "pipe", "inherit"],
  });
  let output = "";
  child.stdout?.on("data", (chunk) => {
    output += chunk;
  });
  child.stdin?.write(`${JSON.stringify({ port, connections: 10, raw: raw.toString("base64") })}\n`);
  onTestFinished(() => void child.kill("SIGKILL"));
  return {
    async stop() {
      const exited = once(child, "exit");
      child.stdin?.end();
      await exited;
      return JSON.parse(output);
    },
  };
}

const shape = (name: string): Shape => {
  const found = SHAPES.find((each) => each.name === name);
  if (!found) throw new Error(`there is no shape ${name}`);
  return found;
};

test("no request that is accepted or refused costs the gateway more than it pays for", {
  timeout: 300_000,
}, async () => {
  const { port, pid } = await gatewayWith({ STRONGROOM_ORG_LIMIT: "0", STRONGROOM_ADDRESS_LIMIT: "0" });
  const head = headOf(newToken("org_globex"));
  /** Microseconds of the gateway's own CPU for each, which other work on the machine changes little. */
  const cost = async (bytes: Buffer, count: number) => {
    const before = await cpuMicros(pid);
    let made = 0;
    await flood({ port, connections: 1, next: () => (made++ < count ? bytes : undefined) });
    globex.clear();
    return ((await cpuMicros(pid)) - before) / count;
  };
  await cost(read(head), 2_000);
  const plain = await cost(read(head), 500);
  for (const each of SHAPES) {
    const bytes = each.request(head, 1);
    await cost(bytes, 3);
    const reads = (await cost(bytes, 10)) / plain;
    // The worst of them pays some 500 units, and none of them less than one for each 4 KiB.
    expect(reads, `${each.name}: ${reads.toFixed(1)} plain reads`).toBeLessThan(
      10 + Math.min(1.2 * (bytes.length / 4_096 + 250), 150),
    );
  }
});

test.each([
  "names",
  "names of surrogate pairs",
  "a long text",
  "48,000 names",
  "chunks of a byte",
])("while a member sends %s as fast as it can, another organization loses no request", {
  timeout: 120_000,
}, async (name) => {
  const { port } = await gatewayWith();
  const raw = shape(name).request(headOf(newToken("org_initech")), 1);
  const flooder = startFlooder(port, raw);
  const token = newToken("org_globex");
  const socket = connect(port, "127.0.0.1").setNoDelay();
  onTestFinished(() => void socket.destroy());
  for (let i = 0; i < 60; i++) {
    expect(await exchange(socket, getRequest(PATH, token))).toMatch(/^HTTP\/1\.1 200 /);
    await sleep(25);
  }
  const statuses = await flooder.stop();
  initech.clear();
  expect(Object.keys(statuses).length).toBeGreaterThan(0);
  expect(statuses[503]).toBeUndefined();
});

test.each([
  "names",
  "a long text",
])("while a reader has its Vault refuse %s, other members of its organization are told no 5xx", {
  timeout: 120_000,
}, async (name) => {
  const { port } = await gatewayWith();
  const raw = shape(name).request(headOf(newToken("org_acme", "reader")), 1);
  const flooder = startFlooder(port, raw);
  const statuses = new Set<number>();
  let made = 0;
  const token = newToken("org_acme", "reader");
  await flood({
    ...{ port, connections: 4, next: () => (made++ < 150 ? getRequest(PATH, token) : undefined) },
    answered: (status) => statuses.add(status),
  });
  const flooded = await flooder.stop();
  expect([...statuses].filter((status) => status !== 200 && status !== 429)).toEqual([]);
  expect(Object.keys(flooded).filter((status) => !["403", "429"].includes(status))).toEqual([]);
  expect(flooded[403]).toBeGreaterThan(0);
});

test("of a stranger with the form of a machine's token no body is read, and its address pays", async () => {
  const limits = { address: { perSecond: 0.01, burst: 5 } };
  const gateway = await startGateway({ issuers: [issuer], ca: internal.ca, orgs: orgs(), limits });
  onTestFinished(() => gateway.close());
  const token = `${initech.org}.hvs.${"A".repeat(90)}`;
  initech.clear();
  initech.answer = (_request, response) =>
    void response.writeHead(403).end('{"errors":["permission denied"]}');
  onTestFinished(() => {
    initech.answer = undefined;
  });
  const body = { data: { a: "x" } };
  for (let i = 0; i < 5; i++) {
    const answer = await gateway.call("POST", PATH, { token, body });
    expect(answer).toMatchObject({ status: 403, json: { errors: ["permission denied"] } });
  }
  const again = await gateway.call("POST", PATH, { token, body });
  expect(again.status).toBe(429);
  expect(initech.requests.map(({ url }) => url)).toEqual(Array(5).fill("/v1/auth/token/lookup-self"));
});

test("a machine that its Vault knows is looked up once, and its organization pays for its bodies", async () => {
  const limits = { org: { perSecond: 0.01, burst: 200 } };
  const gateway = await startGateway({ issuers: [issuer], ca: internal.ca, orgs: orgs(), limits });
  onTestFinished(() => gateway.close());
  const token = `${initech.org}.hvs.${"B".repeat(90)}`;
  initech.clear();
  const send = (bytes: number) =>
    gateway.call("POST", PATH, { token, body: { data: { a: "x".repeat(bytes) } } });
  expect((await send(10)).status).toBe(200);
  expect((await send(400_000)).status).toBe(200);
  expect((await send(600_000)).status).toBe(200);
  expect((await send(10)).status).toBe(429);
  const looked = initech.requests.filter(({ url }) => url === "/v1/auth/token/lookup-self");
  expect(looked).toHaveLength(1);
});

test("an organization pays for its answers, and for bodies that do not say how long they are", async () => {
  const limits = { org: { perSecond: 0.01, burst: 60 } };
  const gateway = await startGateway({ issuers: [issuer], ca: internal.ca, orgs: orgs(), limits });
  onTestFinished(() => gateway.close());
  globex.answer = (request, response) => {
    if (request.url.endsWith("/login")) return answerAsVault(request, response);
    response.end(JSON.stringify({ data: request.method === "GET" ? "x".repeat(1024 * 1024) : {} }));
  };
  onTestFinished(() => {
    globex.answer = undefined;
  });
  const token = newToken("org_globex");
  expect((await gateway.call("GET", PATH, { token })).status).toBe(200);
  await expect.poll(async () => (await gateway.call("GET", PATH, { token })).status).toBe(429);
  const other = newToken("org_initech");
  const chunked = { token: other, headers: { "transfer-encoding": "chunked" } };
  const body = JSON.stringify({ data: { a: "x".repeat(300_000) } });
  expect((await gateway.call("POST", PATH, { ...chunked, body })).status).toBe(200);
  await expect
    .poll(async () => (await gateway.call("POST", PATH, { ...chunked, body: '{"data":{}}' })).status)
    .toBe(429);
});

test("chunks of a byte cost no more than the first few hundred of them, known caller or not", {
  timeout: 120_000,
}, async () => {
  const settings = { STRONGROOM_ORG_LIMIT: "0", STRONGROOM_ADDRESS_LIMIT: "0" };
  const { port, pid } = await gatewayWith(settings);
  const head = headOf(newToken("org_globex"));
  const cost = async (bytes: Buffer, count: number, connections: number) => {
    const before = await cpuMicros(pid);
    let made = 0;
    await flood({ port, connections, next: () => (made++ < count ? bytes : undefined) });
    return ((await cpuMicros(pid)) - before) / count;
  };
  await cost(read(head), 2_000, 1);
  const plain = await cost(read(head), 500, 1);
  for (const each of [head, headOf("x"), headOf(`${initech.org}.hvs.${"C".repeat(90)}`)]) {
    const bytes = shape("chunks of a byte").request(each, 1);
    await cost(bytes, 60, 30);
    const reads = (await cost(bytes, 120, 30)) / plain;
    // Handed over one by one, the chunks of one read alone would cost a hundred, and dropped at once thirty.
    expect(reads, `${reads.toFixed(1)} plain reads`).toBeLessThan(15);
  }
  globex.clear();
  initech.clear();
});

test("a body in chunks of a byte is cut off soon, and whoever sends such is let in no more", async () => {
  const limits = { address: { perSecond: 1, burst: 100 } };
  const gateway = await startGateway({ issuers: [issuer], ca: internal.ca, orgs: orgs(), limits });
  onTestFinished(() => gateway.close());
  globex.clear();
  const known = shape("chunks of a byte").request(headOf(newToken("org_globex")), 1);
  expect(await gateway.raw(known)).toMatch(/^HTTP\/1\.1 413 /);
  expect(globex.requests.filter(({ url }) => url === PATH)).toEqual([]);
  const unknown = shape("chunks of a byte").request(headOf("x"), 1);
  await expect.poll(async () => (await gateway.raw(unknown)) === "", { timeout: 20_000 }).toBe(true);
  const connections = async () => {
    const answer = await gateway.raw("GET /v1/sys/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    return answer.slice(0, 12);
  };
  for (let i = 0; i < 4; i++) await gateway.raw(unknown);
  expect(await connections()).toBe("");
});
