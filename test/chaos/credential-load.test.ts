import { afterAll, beforeAll, expect, inject, test } from "vitest";
import type { UseWithResult } from "../../services/shared/api/uses.ts";
import { FAILURES } from "../../services/shared/work/messages.ts";
import { type CredentialPlatform, queueRows, startCredentialPlatform } from "../harness/credentials.ts";
import { loadWithKills, seeded } from "./credential-load.ts";

const WHOLE = process.env.CHAOS === "whole";
const JOBS = WHOLE ? 10_000 : 300;
const WITHIN_MS = WHOLE ? 3_600_000 : 300_000;

let platform: CredentialPlatform;
beforeAll(async () => {
  platform = await startCredentialPlatform(inject("vaultBinary"), {
    claims: ["org_acme", "org_globex", "org_initech", "org_umbrella"],
    workers: ["integration", "integration"],
    workerSettings: { STRONGROOM_VISIBILITY_SECONDS: "2" },
  });
  for (const claim of Object.keys(platform.orgs)) {
    await platform.putCredential("provider", "sk_live_chaos_1234", platform.token(claim));
  }
});
afterAll(() => platform?.stop());

/** A job may fail, if too many workers died on it; that is classified as well. */
const isClassified = ({ failure }: UseWithResult) => failure !== undefined && failure.class in FAILURES;

test(`${JOBS} jobs while the intake and workers are killed at random`, { timeout: WITHIN_MS }, async () => {
  const { destination, intake, workers } = platform;
  const seed = Number(process.env.CHAOS_SEED ?? Date.now() % 1_000_000);
  const random = seeded(seed);
  destination.answer = (_, response) => setTimeout(() => response.end("{}"), 100 * random());
  const { jobs, kills, seconds } = await loadWithKills(platform, {
    ...{ jobs: JOBS, parts: [intake, ...workers], random, liveMs: WHOLE ? 6_000 : 2_000 },
  });
  const ended = [...jobs.values()];
  const failed = ended.filter(({ state }) => state === "failed");
  const keys = destination.effects.map(({ headers }) => String(headers["idempotency-key"]));
  const repeated = keys.length - new Set(keys).size;
  const numbers = {
    seed,
    jobs: jobs.size,
    failed: failed.length,
    effects: keys.length,
    repeated,
    kills,
    seconds,
  };
  process.stderr.write(`${JSON.stringify(numbers)}\n`);

  expect(jobs.size).toBeGreaterThanOrEqual(JOBS);
  expect(Object.keys(kills)).toHaveLength(3);
  expect(failed.filter((job) => !isClassified(job))).toEqual([]);
  expect(keys.filter((key) => !jobs.has(key))).toEqual([]);
  expect(ended.filter(({ id, state }) => state === "succeeded" && destination.count(id) === 0)).toEqual([]);
  for (const queue of ["jobs", "results"] as const) {
    await expect.poll(() => queueRows(platform.queues("integration"), queue, "messages")).toEqual([]);
    expect(queueRows(platform.queues("integration"), queue, "dead")).toEqual([]);
  }
});
