import { type ChildProcess, execFile, spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { cpus } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createProgress } from "../../services/cli/progress.ts";
import { findVault } from "../../services/cli/vault-binary/find.ts";
import type { BrokerPolicy } from "../../services/shared/broker/policy.ts";
import { newOrgId, orgServerName } from "../../services/shared/org.ts";
import { issueOrgCertificate } from "../../services/shared/vault/pki.ts";
import { type CredentialPlatform, startCredentialPlatform } from "../harness/credentials.ts";
import type { Destination } from "../harness/destination.ts";
import { end } from "../harness/gateway-process.ts";
import type { Part } from "../harness/part.ts";
import { freeListen } from "../harness/vault.ts";
import { cpuMicros } from "./cpu.ts";
import type { Load, LoadResult } from "./load.ts";
import { median } from "./median.ts";
import { HAPROXY, HAPROXY_DEFAULTS } from "./proxies.ts";
import { record, rows } from "./rows.ts";

/**
 * One request to a destination over TLS, side by side and in turns: straight to it, through haproxy (named as absent where it
 * is not installed), and through intake and broker with the embedded key provider, which opens the credential for each call and
 * writes a receipt before and after. All parts, the load and the destination share this machine's cores.
 */

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 7);
const REQUESTS = Number(process.env.BENCH_REQUESTS ?? 400);
const WARM_UP = 4_000;
const AT_ONCE = Number(process.env.BENCH_AT_ONCE ?? 32);
const STREAM_BYTES = Number(process.env.BENCH_STREAM_BYTES ?? 1024 ** 3);
const MEBIBYTE = 1024 * 1024;
const CREDENTIAL = "bench";
const VALUE = "sk_live_bench_1234567890abcdef";
const LOAD = fileURLToPath(new URL("load.ts", import.meta.url));
const DESTINATION = fileURLToPath(new URL("broker-destination.ts", import.meta.url));

/** One way to the destination. */
interface Way {
  name: string;
  load: Omit<Load, "connections" | "requests">;
}

/** What is to be ended, the last first. */
const children: ChildProcess[] = [];

function start(command: string, args: string[], folder: string): number {
  const env = { PATH: "/usr/bin:/bin", HOME: folder };
  const child = spawn(command, args, { env, stdio: ["pipe", "ignore", "inherit"] });
  children.push(child);
  if (!child.pid) throw new Error(`${command} could not be started`);
  return child.pid;
}

async function drive({ load }: Way, connections: number, requests: number): Promise<LoadResult> {
  const told: Load = { ...load, connections, requests };
  const { stdout } = await promisify(execFile)(process.execPath, [LOAD, JSON.stringify(told)]);
  return JSON.parse(stdout) as LoadResult;
}

async function whenServed(way: Way): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await drive(way, 1, 1);
      return;
    } catch (error) {
      if (tries > 50) throw error;
      await sleep(100);
    }
  }
}

/** A call alone: how much later its answer comes than without the platform. */
async function latency(ways: Way[]): Promise<void> {
  const results = new Map<string, LoadResult[]>(ways.map(({ name }) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const way of ways) results.get(way.name)?.push(await drive(way, 1, REQUESTS));
  }
  const of = (name: string, part: "p50" | "p99") =>
    median((results.get(name) ?? []).map((each) => each[part]));
  for (const { name } of ways) {
    for (const part of ["p50", "p99"] as const) record(`${name}: ${part}`, "ms", of(name, part));
  }
  for (const { name } of ways.slice(1)) {
    const [p50, p99] = name === "broker" ? [{ most: 4 }, { most: 15 }] : [];
    record(`${name}: added to p50`, "ms", of(name, "p50") - of("direct", "p50"), p50);
    record(`${name}: added to p99`, "ms", of(name, "p99") - of("direct", "p99"), p99);
  }
}

/** As many calls as go through, and whose CPU they take. */
async function limit(ways: Way[], pids: Record<string, number>): Promise<void> {
  for (const way of ways) {
    const requests = way.name === "broker" ? 4_000 : 12_000;
    const rates: number[] = [];
    const costs = new Map<string, number[]>(Object.keys(pids).map((name) => [name, []]));
    const times: number[] = [];
    for (let round = 0; round < 3; round++) {
      const before = await Promise.all(Object.values(pids).map(cpuMicros));
      const { seconds, p50 } = await drive(way, AT_ONCE, requests);
      const after = await Promise.all(Object.values(pids).map(cpuMicros));
      rates.push(requests / seconds);
      times.push(p50);
      for (const [index, name] of Object.keys(pids).entries()) {
        costs.get(name)?.push(((after[index] ?? 0) - (before[index] ?? 0)) / requests);
      }
    }
    const target = way.name === "broker" ? { least: 800 } : undefined;
    record(`${way.name}: calls a second, ${AT_ONCE} at once`, "1/s", median(rates), target);
    record(`${way.name}: p50 with ${AT_ONCE} at once`, "ms", median(times));
    for (const [name, each] of costs) {
      if (median(each) >= 1) record(`${way.name}: CPU a call, ${name}`, "µs", median(each));
    }
  }
}

/** The most memory that each has while something happens, in MiB. */
async function memoryDuring(parts: Part[], work: () => Promise<void>): Promise<number[]> {
  const most = parts.map(() => 0);
  const sample = async () => {
    for (const [index, part] of parts.entries()) most[index] = Math.max(most[index] ?? 0, await part.rss());
  };
  let isOver = false;
  const sampling = (async () => {
    for (; !isOver; await sleep(50)) await sample();
  })();
  try {
    await work();
  } finally {
    isOver = true;
    await sampling;
  }
  await sample();
  return most.map((bytes) => bytes / MEBIBYTE);
}

async function stream({ load }: Way, headers: Record<string, string>, isUp: boolean): Promise<void> {
  const { host, port, tls, path } = load;
  const send = tls ? httpsRequest : httpRequest;
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const sent = send({
    ...{ host, port, agent: false, method: isUp ? "POST" : "GET" },
    ...(tls && { servername: tls.serverName, rejectUnauthorized: false }),
    path: path.replace("/v1/thing", isUp ? "/v1/stream" : `/v1/stream?bytes=${STREAM_BYTES}`),
    headers: {
      ...headers,
      ...(isUp && { "content-type": "application/octet-stream", "content-length": STREAM_BYTES }),
    },
  });
  sent.on("error", reject).on("response", resolve);
  if (isUp) Readable.from(pieces()).pipe(sent);
  else sent.end();
  const answer = await promise;
  let bytes = 0;
  let text = "";
  for await (const chunk of answer) {
    bytes += (chunk as Buffer).length;
    if (isUp) text += chunk;
  }
  const came = isUp ? JSON.parse(text).bytes : bytes;
  if (answer.statusCode !== 200 || came !== STREAM_BYTES) {
    throw new Error(`${answer.statusCode}: ${came} bytes of ${STREAM_BYTES}`);
  }
}

function* pieces(): Generator<Buffer> {
  const piece = Buffer.alloc(64 * 1024, "strongroom ");
  for (let left = STREAM_BYTES; left > 0; left -= piece.length) yield piece.subarray(0, left);
}

/** A gibibyte each way. */
async function streams(ways: Way[], token: string, parts: Part[]): Promise<void> {
  for (const isUp of [false, true]) {
    for (const way of ways) {
      const by = way.name === "broker" ? token : VALUE;
      const before = await Promise.all(parts.map(({ pid }) => cpuMicros(pid)));
      const begun = performance.now();
      const memory = await memoryDuring(parts, () => stream(way, { authorization: `Bearer ${by}` }, isUp));
      const about = `${way.name}: ${isUp ? "up" : "down"}`;
      record(
        `${about}, MiB a second`,
        "MiB/s",
        STREAM_BYTES / MEBIBYTE / ((performance.now() - begun) / 1000),
      );
      if (way.name !== "broker") continue;
      for (const [index, part] of parts.entries()) {
        const name = part.name.replace(/-[0-9]+$/, "");
        record(`${about}, the most memory: ${name}`, "MiB", memory[index] ?? Number.NaN, { most: 150 });
        const micros = (await cpuMicros(part.pid)) - (before[index] ?? 0);
        record(`${about}, CPU: ${name}`, "s", micros / 1_000_000);
      }
    }
  }
}

async function startWays(platform: CredentialPlatform, destinationPort: number) {
  const { folder, internal, destinations, issuer, address } = platform;
  const at = (name: string) => join(folder, name);
  const org = newOrgId();
  const { certificate, key } = await issueOrgCertificate(internal.controlPlane, org, 24 * 3600);
  await writeFile(at("destination.crt"), certificate);
  await writeFile(at("destination.key"), key.reveal(), { mode: 0o600 });
  await writeFile(at("ca.pem"), internal.ca);
  const serverName = orgServerName(org);
  const origin = `https://${serverName}:${destinationPort}`;
  const files = [String(destinationPort), at("destination.crt"), at("destination.key")];
  const destination = start(process.execPath, [DESTINATION, ...files], folder);
  const exception = { origin, address: "127.0.0.1", ca: internal.ca };
  destinations.push({ exception, down: async () => {} } as unknown as Destination);
  const profile = process.env.BENCH_PROFILE;
  // Node profiles nothing under its permission model.
  const profiled = { nodeFlags: ["--cpu-prof", `--cpu-prof-dir=${profile}`], unconfined: true };
  const broker = await platform.startWorker("broker", profile ? profiled : {});
  const policy: BrokerPolicy = {
    ...{ origin, inject: { header: "Authorization", format: "Bearer {}" }, concurrency: 256 },
    rules: [
      {
        ...{ id: "all", methods: ["GET", "POST"], paths: ["/v1/**"], query: ["bytes"] },
        ...{ contentTypes: ["application/octet-stream"], who: { level: "reader" } },
      },
    ],
  };
  const { orgClaim, groupsClaim } = issuer.issuer;
  const exp = Math.floor(Date.now() / 1000) + 3_000;
  const token = issuer.token({ [orgClaim]: "org_acme", [groupsClaim]: ["admin"], exp });
  const body = { purpose: "broker", value: VALUE, destination: policy };
  const put = await platform.api("PUT", `/v1/credentials/${CREDENTIAL}`, token, { body });
  if (put.status >= 300) throw new Error(put.text);
  await writeFile(at("value"), `Authorization: Bearer ${VALUE}`, { mode: 0o600 });
  await writeFile(at("token"), `Authorization: Bearer ${token}`, { mode: 0o600 });
  const tls = { caFile: at("ca.pem"), serverName };
  const own = { host: "127.0.0.1", path: "/v1/thing", headersFile: at("value") };
  const ways: Way[] = [{ name: "direct", load: { ...own, port: destinationPort, tls } }];
  if (HAPROXY) {
    const port = Number((await freeListen()).split(":")[1]);
    const upstream = `ssl verify required ca-file ${tls.caFile} sni str(${serverName}) verifyhost ${serverName}`;
    await writeFile(
      at("haproxy.cfg"),
      `${HAPROXY_DEFAULTS}
frontend in
  bind 127.0.0.1:${port}
  default_backend destination
backend destination
  http-reuse always
  server one 127.0.0.1:${destinationPort} ${upstream}
`,
    );
    start(HAPROXY, ["-db", "-f", at("haproxy.cfg")], folder);
    ways.push({ name: "haproxy", load: { ...own, port } });
  }
  const intake = { host: "127.0.0.1", port: Number(new URL(address).port), headersFile: at("token") };
  ways.push({ name: "broker", load: { ...intake, path: `/v1/use/${CREDENTIAL}/v1/thing` } });
  return { ways, token, broker, destination };
}

const { path: vaultBinary } = await findVault({ env: process.env, progress: createProgress(process.stderr) });
const destinationPort = Number((await freeListen()).split(":")[1]);
const platform = await startCredentialPlatform(vaultBinary, {
  workers: [],
  intakeSettings: {
    STRONGROOM_DESTINATION_PORTS: `443,${destinationPort}`,
    ...(process.env.BENCH_PROFILE && {
      NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${process.env.BENCH_PROFILE}`,
    }),
  },
});
try {
  const { ways, token, broker, destination } = await startWays(platform, destinationPort);
  for (const way of ways) await whenServed(way);
  for (const way of ways) await drive(way, 8, WARM_UP);
  await latency(ways);
  const { intake, internal } = platform;
  await limit(ways, {
    intake: intake.pid,
    broker: broker.pid,
    "internal Vault": internal.pid(),
    destination,
  });
  await streams(ways, token, [intake, broker]);
  // A profile is written at the end.
  await broker.kill("SIGTERM");
  const [cpu] = cpus();
  const machine = { node: process.version, cpus: cpus().length, model: cpu?.model };
  const absent = HAPROXY ? {} : { absent: ["haproxy"] };
  process.stdout.write(`${JSON.stringify({ ...machine, ...absent, rows }, null, 2)}\n`);
} finally {
  await platform.stop();
  await Promise.all(children.map(end));
}
