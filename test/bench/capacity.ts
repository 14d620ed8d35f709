import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { createProgress } from "../../services/cli/progress.ts";
import { findVault } from "../../services/cli/vault-binary/find.ts";
import { newOrgId, orgServerName } from "../../services/shared/org.ts";
import { issueOrgCertificate } from "../../services/shared/vault/pki.ts";
import { end, type GatewayProcess, startGatewayProcess } from "../harness/gateway-process.ts";
import { startIssuer } from "../harness/tokens.ts";
import { freeListen, startInternalVault } from "../harness/vault.ts";
import { HAS_CORES, onCore, pin } from "./cores.ts";
import { cpuMicros } from "./cpu.ts";
import { median, rounded } from "./median.ts";
import { HAPROXY, HAPROXY_DEFAULTS, type PlainProxy, startProxies } from "./proxies.ts";

/**
 * What a gateway can do when nothing else holds it up, beside what other proxies can, and what a second process
 * on the same port brings. A Vault would be the slowest of all, so haproxy stands in for it, which answers every
 * read alike, and wrk asks. If the machine can give out cores, what is measured has one of its own. `BENCH_GATEWAY`
 * names another gateway's `main.ts`, to compare with in the same run.
 */

const ROUNDS = 5;
/** wrk leaves before its last answers: what that costs a proxy is to be little beside the rest. */
const SECONDS = 8;
const WARM_UP_SECONDS = 2;
const CONNECTIONS = 64;
const [MEASURED_CORE, OTHER_CORE] = [0, 1];
const WRK = ["/usr/bin/wrk", "/usr/local/bin/wrk"].find(existsSync);
if (!HAPROXY || !WRK) throw new Error("This bench needs haproxy and wrk: apt-get install haproxy wrk");

const LOGIN = JSON.stringify({ auth: { client_token: "hvb.stand-in" } });
const READ = JSON.stringify({ data: { data: { value: "x".repeat(64) }, metadata: { version: 1 } } });

interface Round {
  readsPerSecond: number;
  /** Of all that is measured together, for a read. */
  cpuMicros: number;
  /** Cores that were used by it. */
  cores: number;
  /** The part of the work that the busiest process did. */
  largestShare: number;
}

/** Reads at one port, and what they cost the processes behind it. */
async function measure(
  { port, script }: Pick<Way, "port" | "script">,
  pids: number[],
  wrkCore?: number,
  seconds = SECONDS,
): Promise<Round> {
  const used = () => Promise.all(pids.map(cpuMicros));
  const before = await used();
  const url = `http://127.0.0.1:${port}/v1/secret/data/bench`;
  const args = ["-t", "1", "-c", String(CONNECTIONS), "-d", `${seconds}s`, "-s", script, url];
  const { stdout } = await promisify(execFile)(...onCore(wrkCore, WRK as string, args));
  const spent = (await used()).map((micros, i) => micros - (before[i] ?? 0));
  if (/Non-2xx/.test(stdout)) throw new Error(`not all reads were answered:\n${stdout}`);
  const reads = Number(/([0-9]+) requests in/.exec(stdout)?.[1]);
  const all = spent.reduce((sum, micros) => sum + micros, 0);
  return {
    readsPerSecond: reads / seconds,
    cpuMicros: all / reads,
    cores: all / 1e6 / seconds,
    largestShare: Math.max(...spent) / all,
  };
}

const { path: vaultBinary } = await findVault({ env: process.env, progress: createProgress(process.stderr) });
const folder = await mkdtemp(join(tmpdir(), "strongroom-bench-"));
const at = (name: string) => join(folder, name);
const [internal, issuer] = await Promise.all([startInternalVault(vaultBinary), startIssuer()]);
const standIn = await startStandIn();

async function startStandIn() {
  const org = newOrgId();
  const listen = await freeListen();
  const { certificate, key } = await issueOrgCertificate(internal.controlPlane, org, 3_600);
  await writeFile(at("server.pem"), `${certificate}\n${key.reveal()}`, { mode: 0o600 });
  const answer = (body: string) =>
    `http-request return status 200 content-type application/json string '${body}'`;
  await writeFile(
    at("stand-in.cfg"),
    `${HAPROXY_DEFAULTS}
frontend vault
  bind ${listen} ssl crt ${at("server.pem")}
  ${answer(LOGIN)} if { path /v1/auth/jwt/login }
  ${answer(READ)}
`,
  );
  const child = execFile(...onCore(OTHER_CORE, HAPROXY as string, ["-db", "-f", at("stand-in.cfg")]));
  await sleep(500);
  return { org, address: `https://${listen}`, stop: () => end(child) };
}

/** A gateway on a port that it shares. */
async function addGateway({ port, main }: { port?: number; main?: string } = {}): Promise<GatewayProcess> {
  const { org: id, address } = standIn;
  const gateway = await startGatewayProcess({
    ...{ issuers: [issuer], ca: internal.ca, orgs: [{ id, claim: "org_acme", address }] },
    ...(main && { main }),
    settings: {
      ...{ STRONGROOM_SHARE_PORT: "true", STRONGROOM_ORG_LIMIT: "0", STRONGROOM_ADDRESS_LIMIT: "0" },
      ...(port && { STRONGROOM_LISTEN: `127.0.0.1:${port}` }),
    },
  });
  stops.push(gateway.stop);
  return gateway;
}

function medians(rounds: Round[]): Round {
  const of = (name: keyof Round) => rounded(median(rounds.map((round) => round[name])));
  return {
    readsPerSecond: Math.round(of("readsPerSecond")),
    ...{ cpuMicros: of("cpuMicros"), cores: of("cores"), largestShare: of("largestShare") },
  };
}

/** Each in turns, so that what else the machine does hits all alike. */
async function oneProcessEach(ways: Way[]): Promise<Map<string, Round>> {
  const rounds = new Map<string, Round[]>(ways.map(({ name }) => [name, []]));
  for (let n = 0; n < ROUNDS; n++) {
    for (const way of ways) {
      await measure(way, [way.pid], OTHER_CORE, WARM_UP_SECONDS);
      rounds.get(way.name)?.push(await measure(way, [way.pid], OTHER_CORE));
    }
  }
  return new Map([...rounds].map(([name, list]) => [name, medians(list)]));
}

interface Way extends PlainProxy {
  script: string;
}

const stops: (() => Promise<void>)[] = [
  () => rm(folder, { recursive: true, force: true }),
  () => issuer.close(),
  () => internal.stop(),
  () => standIn.stop(),
];
try {
  await writeFile(at("ca.pem"), internal.ca);
  const exp = Math.floor(Date.now() / 1000) + 3_000;
  // In files, since a command line is for all to see.
  const script = async (name: string, header: string, value: string) => {
    await writeFile(at(name), `wrk.headers["${header}"] = "${value}"\n`, { mode: 0o600 });
    return at(name);
  };
  const jwt = await script("jwt.lua", "Authorization", `Bearer ${issuer.token({ org_id: "org_acme", exp })}`);
  const token = await script("token.lua", "X-Vault-Token", "hvb.stand-in");
  const upstream = { address: standIn.address, serverName: orgServerName(standIn.org), caFile: at("ca.pem") };
  const others = await startProxies({ folder, core: MEASURED_CORE, vaultBinary, upstream });
  stops.push(others.stop);
  const first = await addGateway();
  await pin(first.pid, MEASURED_CORE);
  const gateway = { name: "gateway", port: first.port, pid: first.pid, script: jwt };
  const ways: Way[] = [...others.proxies.map((way) => ({ ...way, script: token })), gateway];
  const main = process.env.BENCH_GATEWAY;
  if (main) {
    const { port, pid } = await addGateway({ main });
    await pin(pid, MEASURED_CORE);
    ways.push({ name: "another gateway", port, pid, script: jwt });
  }
  const one = await oneProcessEach(ways);
  for (const [name, round] of one) process.stderr.write(`${name}: ${JSON.stringify(round)}\n`);

  // Two processes, one on each core. The stand-in and wrk find their time between them.
  const second = await addGateway({ port: first.port });
  await pin(second.pid, OTHER_CORE);
  const pids = [first.pid, second.pid];
  const rounds: Round[] = [];
  for (let n = 0; n <= ROUNDS; n++) rounds.push(await measure(gateway, pids));
  const two = medians(rounds.slice(1));
  process.stderr.write(`two gateways: ${JSON.stringify(two)}\n`);
  const alone = one.get("gateway") as Round;
  /** Reads for each core that gateways had, two processes to one: 1 is linear. */
  const perCore = two.readsPerSecond / two.cores / (alone.readsPerSecond / alone.cores);
  const result = {
    ...{ node: process.version, cpus: cpus().length, model: cpus()[0]?.model, ownCore: HAS_CORES },
    ...{ one: Object.fromEntries(one), two, perCore: rounded(perCore) },
  };
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
} finally {
  for (const stop of stops.reverse()) await stop();
}
