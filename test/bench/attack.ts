import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { createProgress } from "../../services/shared/progress.ts";
import { findVault } from "../../services/shared/vault/binary.ts";
import { type Head, read, SHAPES, type Shape } from "../attack/corpus/costs.ts";
import { exchange } from "../harness/flood.ts";
import { startGatewayProcess } from "../harness/gateway-process.ts";
import { answerAsVault, startRecorder } from "../harness/recorder.ts";
import { newPair, startIssuer } from "../harness/tokens.ts";
import { startInternalVault } from "../harness/vault.ts";
import { onCore, pin } from "./cores.ts";
import { cpuMicros } from "./cpu.ts";
import { median, rounded } from "./median.ts";

/**
 * What one organization can do to another's reads. First the most expensive request that is accepted is looked
 * for: each shape of test/attack/corpus/costs.ts at several sizes, by the gateway's CPU for each, without
 * limits. Then, with the default limits and the gateway on a core of its own, the worst are sent as fast as they
 * are answered, by a member and by a stranger with a machine's token, while another organization reads; in turns
 * with none sent. `BENCH_GATEWAY` names another gateway's `main.ts`, to compare with.
 */

const SIZES = [0.1, 0.5, 1];
const REPEATED = Number(process.env.BENCH_REPEATED ?? 15);
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3);
const SECONDS = Number(process.env.BENCH_SECONDS ?? 5);
/** Of the shapes found, so many are sent against another organization. */
const WORST = Number(process.env.BENCH_WORST ?? 3);
const CONNECTIONS = 16;
const PATH = "/v1/secret/data/bench";
const FLOODER = fileURLToPath(new URL("../harness/flooder.ts", import.meta.url));
const [OTHERS_CORE, GATEWAYS_CORE] = [0, 1];

const { path: vaultBinary } = await findVault({ env: process.env, progress: createProgress(process.stderr) });
const [internal, issuer] = await Promise.all([
  startInternalVault(vaultBinary),
  startIssuer({}, newPair("ES256")),
]);
const [acme, globex] = await Promise.all([startRecorder(internal), startRecorder(internal)]);
// As a Vault answers a machine's token that it does not know.
acme.answer = (request, response) => {
  const token = request.headers["x-vault-token"];
  if (typeof token !== "string" || !token.startsWith("hvs.")) return answerAsVault(request, response);
  response.writeHead(403, { "Content-Type": "application/json" }).end('{"errors":["permission denied"]}');
};
const orgs = [
  { id: acme.org, claim: "org_acme", address: acme.address, machineTokens: true as const },
  { id: globex.org, claim: "org_globex", address: globex.address },
];
const started: { stop(): Promise<void> }[] = [];

async function startGateway(settings: Record<string, string>) {
  const main = process.env.BENCH_GATEWAY;
  const gateway = await startGatewayProcess({
    issuers: [issuer],
    ca: internal.ca,
    orgs,
    settings,
    ...(main && { main }),
  });
  started.push(gateway);
  await pin(gateway.pid, GATEWAYS_CORE);
  return gateway;
}

const member = (org: string): Head => {
  const exp = Math.floor(Date.now() / 1000) + 3_000;
  return { path: PATH, token: `X-Vault-Token: ${issuer.token({ sub: randomUUID(), org_id: org, exp })}` };
};
const stranger: Head = { path: PATH, token: `X-Vault-Token: ${acme.org}.hvs.${"A".repeat(90)}` };

/** Microseconds of the gateway's CPU for each of some requests, and how the last was answered. */
async function cost(gateway: { port: number; pid: number }, bytes: Buffer, count: number) {
  const open = () =>
    connect(gateway.port, "127.0.0.1")
      .setNoDelay()
      .on("error", () => {});
  let socket = open();
  let status = 0;
  const before = await cpuMicros(gateway.pid);
  for (let i = 0; i < count; i++) {
    if (socket.destroyed) socket = open();
    const answer = await exchange(socket, bytes);
    status = Number(answer.slice(9, 12)) || 0;
    if (status === 0 || /^connection: close/im.test(answer)) socket.destroy();
  }
  socket.destroy();
  acme.clear();
  return { micros: ((await cpuMicros(gateway.pid)) - before) / count, status };
}

interface Found {
  shape: Shape;
  size: number;
  bytes: number;
  status: number;
  micros: number;
  /** How many plain reads it costs. */
  reads: number;
}

async function search(): Promise<{ plainMicros: number; found: Found[] }> {
  const gateway = await startGateway({ STRONGROOM_ORG_LIMIT: "0", STRONGROOM_ADDRESS_LIMIT: "0" });
  const head = member("org_acme");
  await cost(gateway, read(head), 3_000);
  const plain = await cost(gateway, read(head), 1_000);
  const found: Found[] = [];
  for (const shape of SHAPES) {
    for (const size of SIZES) {
      const bytes = shape.request(head, size);
      await cost(gateway, bytes, 3);
      const { micros, status } = await cost(gateway, bytes, REPEATED);
      const reads = rounded(micros / plain.micros);
      found.push({ shape, size, bytes: bytes.length, status, micros: Math.round(micros), reads });
    }
  }
  await gateway.stop();
  started.pop();
  return { plainMicros: rounded(plain.micros), found: found.sort((a, b) => b.micros - a.micros) };
}

/** Of globex's reads, at a steady 40 a second: milliseconds, and how many had no 200. */
async function measure(port: number, head: Head): Promise<{ ms: number[]; lost: number }> {
  const ms: number[] = [];
  let lost = 0;
  const request = read(head);
  // Not from the flood's address, which may be barred.
  const open = () => connect({ port, host: "127.0.0.1", localAddress: "127.0.0.2" }).setNoDelay();
  let socket = open();
  for (const until = performance.now() + SECONDS * 1_000; performance.now() < until; ) {
    if (socket.destroyed) socket = open();
    const began = performance.now();
    const answer = await Promise.race([exchange(socket, request), sleep(10_000).then(() => "")]);
    ms.push(performance.now() - began);
    if (!answer.startsWith("HTTP/1.1 200 ")) {
      lost++;
      socket.destroy();
    }
    await sleep(25);
  }
  socket.destroy();
  return { ms: ms.sort((a, b) => a - b), lost };
}

function startFlooder(
  port: number,
  raw: Buffer,
  spread: boolean,
): { stop(): Promise<Record<number, number>> } {
  const child: ChildProcess = spawn(...onCore(OTHERS_CORE, process.execPath, [FLOODER]), {
    env: { PATH: "/usr/bin:/bin" },
    stdio: ["pipe", "pipe", "inherit"],
  });
  let output = "";
  child.stdout?.on("data", (chunk) => {
    output += chunk;
  });
  const order = { port, connections: CONNECTIONS, spread, raw: raw.toString("base64") };
  child.stdin?.write(`${JSON.stringify(order)}\n`);
  return {
    async stop() {
      const exited = once(child, "exit");
      child.stdin?.end();
      const killer = setTimeout(() => child.kill("SIGKILL"), 15_000);
      await exited;
      clearTimeout(killer);
      return output ? JSON.parse(output) : {};
    },
  };
}

const at = (sorted: number[], share: number) => sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN;

/** Another organization's reads, with and without a flood of a request, in turns. */
async function beside(who: string, name: string, raw: Buffer, { spread = false } = {}) {
  const gateway = await startGateway({});
  const head = member("org_globex");
  await measure(gateway.port, head);
  const rounds: { alone: number; p50: number; p99: number; lost: number }[] = [];
  const statuses: Record<string, number> = {};
  for (let round = 0; round < ROUNDS; round++) {
    const alone = await measure(gateway.port, head);
    const flooder = startFlooder(gateway.port, raw, spread);
    await sleep(500);
    const flooded = await measure(gateway.port, head);
    for (const [status, count] of Object.entries(await flooder.stop())) {
      statuses[status] = (statuses[status] ?? 0) + count;
    }
    rounds.push({
      ...{ alone: at(alone.ms, 0.99), p50: at(flooded.ms, 0.5), p99: at(flooded.ms, 0.99) },
      lost: flooded.lost,
    });
    acme.clear();
    globex.clear();
    await sleep(1_000);
  }
  await gateway.stop();
  started.pop();
  const row = {
    ...{ who, shape: name, bytes: raw.length, statuses },
    p99AloneMs: rounded(median(rounds.map(({ alone }) => alone))),
    p50Ms: rounded(median(rounds.map(({ p50 }) => p50))),
    p99Ms: rounded(median(rounds.map(({ p99 }) => p99))),
    lost: rounds.reduce((sum, { lost }) => sum + lost, 0),
  };
  process.stderr.write(`${JSON.stringify(row)}\n`);
  return { ...row, held: row.p99Ms <= 2 * row.p99AloneMs + 10 && row.lost === 0 };
}

try {
  const { plainMicros, found } = await search();
  const accepted = found.filter(({ status }) => status === 200);
  const table = found.map(({ shape, ...each }) => ({ shape: shape.name, ...each }));
  for (const line of table.slice(0, 12)) process.stderr.write(`${JSON.stringify(line)}\n`);
  // Each shape once, the worst of them; and what was the worst before bodies were bounded.
  const shapes = [...new Set(accepted.map(({ shape }) => shape))].slice(0, WORST);
  const known = SHAPES.filter(({ name }) => name === "48,000 names" || name === "chunks of a byte");
  const login = SHAPES.find(({ name }) => name === "a login by a forged token") as Shape;
  const rows: object[] = [];
  for (const shape of new Set([...shapes, ...known])) {
    rows.push(await beside("a member", shape.name, shape.request(member("org_acme"), 1)));
  }
  for (const shape of known) rows.push(await beside("a stranger", shape.name, shape.request(stranger, 1)));
  rows.push(await beside("a stranger", login.name, login.request(member("org_acme"), 1)));
  // A member with many addresses, whom what one address may do does not stop.
  for (const shape of known) {
    const raw = shape.request(member("org_acme"), 1);
    rows.push(await beside("a member, many addresses", shape.name, raw, { spread: true }));
  }
  process.stdout.write(
    `${JSON.stringify({ plainMicros, worst: table.find(({ status }) => status === 200), found: table, rows }, null, 2)}\n`,
  );
} finally {
  for (const each of started.reverse()) await each.stop();
  await Promise.all([acme.close(), globex.close(), issuer.close()]);
  await internal.stop();
}
