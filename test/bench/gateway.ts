import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createProgress } from "../../services/cli/progress.ts";
import { findVault } from "../../services/cli/vault-binary/find.ts";
import { startGatewayProcess } from "../harness/gateway-process.ts";
import { startIssuer } from "../harness/tokens.ts";
import { startInternalVault, startOrgVault } from "../harness/vault.ts";
import { HAS_CORES, onCore, pin } from "./cores.ts";
import { cpuMicros } from "./cpu.ts";
import type { Load, LoadResult } from "./load.ts";
import { median, rounded } from "./median.ts";
import { startProxies } from "./proxies.ts";

/**
 * Reads of one secret of one organization's Vault, side by side: straight at the Vault, through its own
 * proxy mode, through haproxy (left out where it is not installed), through the least that Node can do, and
 * through the gateway, each over the same TLS to the same Vault, in turns. Where the machine has taskset and two
 * cores, the Vault has one of them, and what is measured has the other, together with the load.
 */

/** Each way has its turn so often, and each turn is measured so often. */
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3);
const MEASURED = 3;
const REQUESTS = { 1: 2_000, 8: 5_000, 64: 5_000 };
/** Before all turns, not measured: what a process compiles while it runs is to be compiled. */
const WARM_UP = 40_000;
const PATH = "/v1/secret/data/bench";
const LOAD = fileURLToPath(new URL("load.ts", import.meta.url));
const [VAULTS_CORE, OTHER_CORE] = [0, 1];

interface Way {
  name: string;
  load: Pick<Load, "host" | "port" | "tls" | "headersFile">;
  /** Whose CPU counts. */
  pid: number;
}

interface Measured {
  cpuMicros: number;
  rate: number;
  p50: number;
  p99: number;
}

const folder = await mkdtemp(join(tmpdir(), "strongroom-bench-"));
const at = (name: string) => join(folder, name);
/** What is to be ended, the last first. */
const started: { stop(): Promise<void> }[] = [];

async function drive({ load, pid }: Way, connections: number, requests: number): Promise<Measured> {
  const told: Load = { ...load, path: PATH, connections, requests };
  const before = await cpuMicros(pid);
  const { stdout } = await promisify(execFile)(
    ...onCore(OTHER_CORE, process.execPath, [LOAD, JSON.stringify(told)]),
  );
  const { seconds, p50, p99 } = JSON.parse(stdout) as LoadResult;
  return { cpuMicros: ((await cpuMicros(pid)) - before) / requests, rate: requests / seconds, p50, p99 };
}

async function whenServed(way: Way): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await drive(way, 1, 1);
      return;
    } catch (error) {
      if (tries > 100) throw error;
      await sleep(100);
    }
  }
}

const { path: vaultBinary } = await findVault({ env: process.env, progress: createProgress(process.stderr) });
const [internal, issuer] = await Promise.all([startInternalVault(vaultBinary), startIssuer()]);
const acme = await startOrgVault(internal, { claim: "org_acme", issuer });

async function ways(): Promise<Way[]> {
  await acme.root.write("secret/data/bench", { data: { value: "x".repeat(64) } });
  const { auth } = await acme.root.write("auth/token/create", {
    ...{ policies: ["reader"], no_default_policy: true, no_parent: true, ttl: "1h" },
  });
  await writeFile(at("ca.pem"), internal.ca);
  const exp = Math.floor(Date.now() / 1000) + 3_600;
  const files = {
    token: `X-Vault-Token: ${(auth as { client_token: string }).client_token}`,
    jwt: `Authorization: Bearer ${issuer.token({ org_id: "org_acme", exp })}`,
  };
  for (const [name, text] of Object.entries(files)) await writeFile(at(name), text, { mode: 0o600 });
  const { address, serverName = "" } = acme.endpoint;
  const upstream = { address, serverName, caFile: at("ca.pem") };
  const { hostname, port } = new URL(address);
  const plain = (name: "token" | "jwt", port: number) => ({ host: "127.0.0.1", port, headersFile: at(name) });

  const vaultPid = await pidOf(join(acme.dir, "vault.json"));
  await pin(vaultPid, VAULTS_CORE);
  const direct = { host: hostname, port: Number(port), tls: upstream, headersFile: at("token") };
  const others = await startProxies({ folder, core: OTHER_CORE, vaultBinary, upstream });
  started.push(others);
  const profile = process.env.BENCH_PROFILE;
  const gateway = await startGatewayProcess({
    ...{ issuers: [issuer], ca: internal.ca, orgs: [{ id: acme.org, claim: "org_acme", address }] },
    settings: {
      STRONGROOM_ORG_LIMIT: "0",
      ...(profile && { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profile}` }),
    },
  });
  started.push(gateway);
  await pin(gateway.pid, OTHER_CORE);
  return [
    { name: "direct", load: direct, pid: vaultPid },
    ...others.proxies.map(({ name, port, pid }) => ({ name, load: plain("token", port), pid })),
    { name: "gateway", load: plain("jwt", gateway.port), pid: gateway.pid },
  ];
}

/** The process that was started on a configuration file. */
async function pidOf(config: string): Promise<number> {
  for (const name of await readdir("/proc")) {
    const line = /^[0-9]+$/.test(name) ? await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "") : "";
    if (line.includes(`-config=${config}`)) return Number(name);
  }
  throw new Error("the Vault's process was not found");
}

try {
  const all = await ways();
  for (const way of all) await whenServed(way);
  for (const way of all) await drive(way, 8, WARM_UP);
  const rows: object[] = [];
  for (const [connections, requests] of Object.entries(REQUESTS)) {
    const runs = new Map<string, Measured[]>(all.map(({ name }) => [name, []]));
    for (let round = 0; round < ROUNDS; round++) {
      for (const way of all) {
        await drive(way, Number(connections), 3 * requests); // not measured: what it lost while others had their turn
        for (let n = 0; n < MEASURED; n++) {
          runs.get(way.name)?.push(await drive(way, Number(connections), requests));
        }
      }
    }
    const medians = [...runs].map(([way, list]) => ({
      way,
      connections: Number(connections),
      cpuMicros: rounded(median(list.map(({ cpuMicros }) => cpuMicros))),
      requestsPerSecond: Math.round(median(list.map(({ rate }) => rate))),
      p50Ms: rounded(median(list.map(({ p50 }) => p50))),
      p99Ms: rounded(median(list.map(({ p99 }) => p99))),
    }));
    const direct = medians[0];
    for (const row of medians) {
      const withRatio = {
        ...row,
        rateToDirect: rounded(row.requestsPerSecond / (direct?.requestsPerSecond ?? 1)),
        addedP50Ms: rounded(row.p50Ms - (direct?.p50Ms ?? 0)),
        addedP99Ms: rounded(row.p99Ms - (direct?.p99Ms ?? 0)),
      };
      rows.push(withRatio);
      process.stderr.write(`${JSON.stringify(withRatio)}\n`);
    }
  }
  const cpu = cpus();
  process.stdout.write(
    `${JSON.stringify({ node: process.version, cpus: cpu.length, model: cpu[0]?.model, vaultHasItsCore: HAS_CORES, rounds: ROUNDS, rows }, null, 2)}\n`,
  );
} finally {
  for (const each of started.reverse()) await each.stop();
  await acme.stop();
  await internal.stop();
  await issuer.close();
  await rm(folder, { recursive: true, force: true });
}
