import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createProgress } from "../../services/shared/progress.ts";
import { findVault } from "../../services/shared/vault/binary.ts";
import { newDirectoryKey, startDirectoryServer } from "../harness/directory.ts";
import { startIssuer } from "../harness/tokens.ts";
import { freeListen, startInternalVault, startOrgVault } from "../harness/vault.ts";
import { cpuMicros } from "./cpu.ts";
import type { Load, LoadResult } from "./load.ts";

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
const HAPROXY = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"].find(existsSync);
const PATH = "/v1/secret/data/bench";
const MAIN = fileURLToPath(new URL("../../services/gateway/main.ts", import.meta.url));
const LOAD = fileURLToPath(new URL("load.ts", import.meta.url));
const BARE = fileURLToPath(new URL("bare.ts", import.meta.url));
const TASKSET = cpus().length > 1 && ["/usr/bin/taskset", "/bin/taskset"].find(existsSync);
const [VAULTS_CORE, OTHER_CORE] = ["0", "1"];

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
const started: ChildProcess[] = [];
const at = (name: string) => join(folder, name);

/** The command that runs another on the core that is not the Vault's. */
const apart = (command: string, args: string[]): [string, string[]] =>
  TASKSET ? [TASKSET, ["-c", OTHER_CORE, command, ...args]] : [command, args];

function start(command: string, args: string[], env: Record<string, string> = {}): number {
  const child = spawn(...apart(command, args), {
    env: { PATH: "/usr/bin:/bin", HOME: folder, ...env },
    stdio: ["ignore", "ignore", "inherit"],
  });
  started.push(child);
  if (!child.pid) throw new Error(`${command} could not be started`);
  return child.pid;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  await gone;
}

async function drive({ load, pid }: Way, connections: number, requests: number): Promise<Measured> {
  const told: Load = { ...load, path: PATH, connections, requests };
  const before = await cpuMicros(pid);
  const { stdout } = await promisify(execFile)(...apart(process.execPath, [LOAD, JSON.stringify(told)]));
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
const key = newDirectoryKey();
const directoryServer = await startDirectoryServer(key);

async function ways(): Promise<Way[]> {
  await acme.root.write("secret/data/bench", { data: { value: "x".repeat(64) } });
  const { auth } = await acme.root.write("auth/token/create", {
    ...{ policies: ["reader"], no_default_policy: true, no_parent: true, ttl: "1h" },
  });
  await writeFile(at("ca.pem"), internal.ca);
  await writeFile(at("token"), `X-Vault-Token: ${(auth as { client_token: string }).client_token}`, {
    mode: 0o600,
  });
  const { host, hostname, port } = new URL(acme.endpoint.address);
  const serverName = acme.endpoint.serverName ?? "";
  const plain = async (headersFile: string) => {
    const [free] = [(await freeListen()).split(":")[1]];
    return { host: "127.0.0.1", port: Number(free), headersFile };
  };
  const vaultPid = await pidOf(join(acme.dir, "vault.json"));
  if (TASKSET) await promisify(execFile)(TASKSET, ["-a", "-p", "-c", VAULTS_CORE, String(vaultPid)]);
  const found: Way[] = [
    {
      name: "direct",
      load: {
        host: hostname,
        port: Number(port),
        tls: { caFile: at("ca.pem"), serverName },
        headersFile: at("token"),
      },
      pid: vaultPid,
    },
  ];

  const proxy = await plain(at("token"));
  await writeFile(
    at("proxy.json"),
    JSON.stringify({
      vault: { address: `https://${host}`, ca_cert: at("ca.pem"), tls_server_name: serverName },
      api_proxy: {},
      log_level: "error",
      listener: { tcp: { address: `127.0.0.1:${proxy.port}`, tls_disable: true } },
    }),
  );
  found.push({
    name: "vault proxy",
    load: proxy,
    pid: start(vaultBinary, ["proxy", `-config=${at("proxy.json")}`]),
  });

  if (HAPROXY) {
    const load = await plain(at("token"));
    await writeFile(
      at("haproxy.cfg"),
      `global
         nbthread 1
       defaults
         mode http
         timeout connect 2s
         timeout client 60s
         timeout server 10s
         http-reuse always
       frontend in
         bind 127.0.0.1:${load.port}
         default_backend vault
       backend vault
         server acme ${host} ssl verify required ca-file ${at("ca.pem")} sni str(${serverName}) verifyhost ${serverName}
`,
    );
    found.push({ name: "haproxy", load, pid: start(HAPROXY, ["-db", "-f", at("haproxy.cfg")]) });
  }

  const bare = await plain(at("token"));
  const bareArgs = [BARE, String(bare.port), acme.endpoint.address, serverName, at("ca.pem")];
  found.push({ name: "node alone", load: bare, pid: start(process.execPath, bareArgs) });

  await directoryServer.publish({
    version: 1,
    issuedAt: new Date().toISOString(),
    issuers: [issuer.issuer],
    orgs: [{ id: acme.org, issuer: issuer.issuer.issuer, claim: "org_acme", address: acme.endpoint.address }],
    deleted: [],
  });
  await writeFile(at("directory-key.pem"), key.publicPem);
  const exp = Math.floor(Date.now() / 1000) + 3_600;
  await writeFile(at("jwt"), `Authorization: Bearer ${issuer.token({ org_id: "org_acme", exp })}`, {
    mode: 0o600,
  });
  const gateway = await plain(at("jwt"));
  const profile = process.env.BENCH_PROFILE;
  const pid = start(
    process.execPath,
    [...(profile ? ["--cpu-prof", `--cpu-prof-dir=${profile}`] : []), MAIN],
    {
      STRONGROOM_LISTEN: `127.0.0.1:${gateway.port}`,
      STRONGROOM_DIRECTORY_URL: directoryServer.url,
      STRONGROOM_DIRECTORY_KEY_FILE: at("directory-key.pem"),
      STRONGROOM_DIRECTORY_COPY: at("directory.jws"),
      STRONGROOM_REVOCATIONS_URL: directoryServer.revocationsUrl,
      STRONGROOM_REVOCATIONS_COPY: at("revocations.jws"),
      STRONGROOM_CA_FILE: at("ca.pem"),
      STRONGROOM_ORG_LIMIT: "0",
    },
  );
  found.push({ name: "gateway", load: gateway, pid });
  return found;
}

/** The process that was started on a configuration file. */
async function pidOf(config: string): Promise<number> {
  for (const name of await readdir("/proc")) {
    const line = /^[0-9]+$/.test(name) ? await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "") : "";
    if (line.includes(`-config=${config}`)) return Number(name);
  }
  throw new Error("the Vault's process was not found");
}

const median = (values: number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return Math.round((sorted[Math.floor(sorted.length / 2)] ?? Number.NaN) * 100) / 100;
};

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
      cpuMicros: median(list.map(({ cpuMicros }) => cpuMicros)),
      requestsPerSecond: Math.round(median(list.map(({ rate }) => rate))),
      p50Ms: median(list.map(({ p50 }) => p50)),
      p99Ms: median(list.map(({ p99 }) => p99)),
    }));
    const direct = medians[0];
    for (const row of medians) {
      const withRatio = {
        ...row,
        rateToDirect: median([row.requestsPerSecond / (direct?.requestsPerSecond ?? 1)]),
        addedP50Ms: median([row.p50Ms - (direct?.p50Ms ?? 0)]),
        addedP99Ms: median([row.p99Ms - (direct?.p99Ms ?? 0)]),
      };
      rows.push(withRatio);
      process.stderr.write(`${JSON.stringify(withRatio)}\n`);
    }
  }
  const cpu = cpus();
  process.stdout.write(
    `${JSON.stringify({ node: process.version, cpus: cpu.length, model: cpu[0]?.model, vaultHasItsCore: Boolean(TASKSET), rounds: ROUNDS, rows }, null, 2)}\n`,
  );
} finally {
  await Promise.all(started.map(end));
  await directoryServer.close();
  await acme.stop();
  await internal.stop();
  await issuer.close();
  await rm(folder, { recursive: true, force: true });
}
