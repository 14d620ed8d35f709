import { cpus } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { createProgress } from "../../services/cli/progress.ts";
import { findVault } from "../../services/cli/vault-binary/find.ts";
import type { CreateUse } from "../../services/shared/api/uses.ts";
import { seal } from "../../services/shared/envelope/envelope.ts";
import { poll } from "../../services/shared/poll.ts";
import { headerPolicy, Jobs, keysOf } from "../harness/credential-jobs.ts";
import { type CredentialPlatform, startCredentialPlatform } from "../harness/credentials.ts";
import type { Part } from "../harness/part.ts";
import { cpuMicros } from "./cpu.ts";
import { costPer1000Uses } from "./credentials-cost.ts";
import { median } from "./median.ts";
import { record, rows } from "./rows.ts";

/**
 * What credentials cost, with the embedded defaults and every part on this machine: internal Vault, intake, workers. The
 * load and the destination, which is on loopback over TLS, are this process.
 */

const STORES = 200;
const JOBS = 300;
const WARM_UP = 200;
const ROUNDS = 3;
const ROUND_MS = 10_000;
const IN_FLIGHT = 64;
const KILLS = 5;
const VISIBILITY_SECONDS = 2;
const IDLE_MS = 10_000;
const MEBIBYTE = 1024 * 1024;
const CLAIMS = ["org_acme", "org_globex", "org_initech", "org_umbrella"];
const USE: CreateUse = {
  credential: "provider",
  request: { method: "POST", path: "/v1/charges", body: { text: "amount=5" } },
};

const at = (share: number, values: number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * share)] ?? Number.NaN;

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

async function run(platform: CredentialPlatform, claim = "org_acme"): Promise<void> {
  const { state, failure } = await platform.runJob(USE, platform.token(claim));
  if (state !== "succeeded") throw new Error(`a job is ${state}: ${JSON.stringify(failure)}`);
}

/** Each part as it was started, with nothing to do. */
async function idle(platform: CredentialPlatform): Promise<void> {
  const parts = [platform.intake, ...platform.workers];
  for (const part of parts) await part.restart("SIGTERM");
  await sleep(IDLE_MS);
  const before = await Promise.all(parts.map(({ pid }) => cpuMicros(pid)));
  await sleep(IDLE_MS);
  for (const [index, part] of parts.entries()) {
    const name = part.name.replace(/-[0-9]+$/, "");
    const micros = (await cpuMicros(part.pid)) - (before[index] ?? 0);
    record(`${name}, idle: memory`, "MiB", (await part.rss()) / MEBIBYTE, { most: 110 });
    record(`${name}, idle: CPU`, "ms/s", micros / IDLE_MS);
  }
}

async function storing(platform: CredentialPlatform): Promise<void> {
  const times: number[] = [];
  for (let n = 0; n < STORES; n++) {
    times.push(await timed(() => platform.putCredential(`stored-${n}`, "sk_live_bench_1234567890")));
  }
  record("store a credential, p50", "ms", at(0.5, times), { most: 15 });
  record("store a credential, p99", "ms", at(0.99, times));
}

async function jobs(platform: CredentialPlatform): Promise<void> {
  for (let n = 0; n < WARM_UP; n++) await run(platform);
  const times: number[] = [];
  for (let n = 0; n < JOBS; n++) times.push(await timed(() => run(platform)));
  record("job, request to result, p50", "ms", at(0.5, times), { most: 60 });
  record("job, request to result, p99", "ms", at(0.99, times), { most: 250 });
}

/** As many jobs as go through one worker, with so many in flight. */
async function sustained(platform: CredentialPlatform, worker: Part): Promise<void> {
  const pids = {
    intake: platform.intake.pid,
    worker: worker.pid,
    "internal Vault": platform.internal.pid(),
    "load and destination": process.pid,
  };
  const rates: number[] = [];
  const costs: Record<string, number[]> = {};
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = await Promise.all(Object.values(pids).map(cpuMicros));
    const begun = performance.now();
    let done = 0;
    const drive = async (index: number) => {
      while (performance.now() - begun < ROUND_MS) {
        times.push(await timed(() => run(platform, CLAIMS[index % CLAIMS.length])));
        done++;
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, (_, index) => drive(index)));
    rates.push(done / ((performance.now() - begun) / 1000));
    for (const [index, [name, pid]] of Object.entries(pids).entries()) {
      costs[name] ??= [];
      costs[name].push(((await cpuMicros(pid)) - (before[index] ?? 0)) / 1000 / done);
    }
  }
  record("jobs a second, one worker", "1/s", median(rates), { least: 200 });
  record(`job with ${IN_FLIGHT} in flight, p50`, "ms", at(0.5, times));
  for (const [name, each] of Object.entries(costs)) record(`CPU a job: ${name}`, "ms", median(each));
  await sleep(IDLE_MS);
  record("intake, after the load: memory", "MiB", (await platform.intake.rss()) / MEBIBYTE);
  record("worker, after the load: memory", "MiB", (await worker.rss()) / MEBIBYTE);
}

/** From `kill -9` of the worker that has a job in hand to its result, which another worker's request brings. */
async function killed(platform: CredentialPlatform): Promise<void> {
  const { destination, workers } = platform;
  const late: number[] = [];
  const settings = { STRONGROOM_VISIBILITY_SECONDS: String(VISIBILITY_SECONDS) };
  for (const worker of workers) await worker.kill();
  let current = await platform.startWorker("integration", { settings });
  for (let n = 0; n < KILLS; n++) {
    destination.clear();
    destination.answer = (_, response) => {
      if (destination.effects.length > 1) response.end("{}");
    };
    const job = run(platform);
    await poll(async () => destination.effects.length > 0 || undefined, { everyMs: 5, withinMs: 30_000 });
    const next = await platform.startWorker("integration", { settings });
    const elapsed = await timed(async () => {
      await current.kill();
      await job;
    });
    late.push(elapsed - VISIBILITY_SECONDS * 1000);
    current = next;
  }
  destination.answer = undefined;
  record(
    "kill -9 of a worker to its job's end elsewhere, beyond the visibility timeout",
    "ms",
    median(late),
    {
      most: 1_000,
    },
  );
  record("the same, the slowest", "ms", Math.max(...late));
}

/** What an envelope has beside the plaintext, its context among that. */
async function overhead(platform: CredentialPlatform): Promise<void> {
  const keys = keysOf(platform.internal, "intake", "integration");
  const context = new Jobs(keys, "integration").context(
    headerPolicy(platform.destination.origin),
    1,
    "provider",
  );
  const plaintext = new Uint8Array(32);
  const envelope = await seal(keys, context, plaintext);
  record("envelope, beside the plaintext", "bytes", envelope.byteLength - plaintext.byteLength);
}

const { path: vaultBinary } = await findVault({ env: process.env, progress: createProgress(process.stderr) });
const platform = await startCredentialPlatform(vaultBinary, {
  ...{ claims: CLAIMS, workers: ["integration", "webhook", "feed"] },
});
try {
  for (const claim of CLAIMS) {
    await platform.putCredential("provider", "sk_live_bench_1234567890", platform.token(claim));
  }
  await idle(platform);
  const [worker, ...others] = platform.workers as [Part, ...Part[]];
  for (const other of others) await other.kill("SIGTERM");
  await storing(platform);
  await jobs(platform);
  await sustained(platform, worker);
  await killed(platform);
  await overhead(platform);
  const cost = costPer1000Uses();
  record("1,000 uses on AWS, computed", "USD", cost.total);
  const [cpu] = cpus();
  const machine = { node: process.version, cpus: cpus().length, model: cpu?.model };
  process.stdout.write(`${JSON.stringify({ ...machine, rows, cost }, null, 2)}\n`);
} finally {
  await platform.stop();
}
