import type { Platform } from "../dependencies.ts";
import { isEnded } from "../jobs/job-state.ts";

const DAY_MS = 24 * 3600 * 1000;
/** Retention of ended jobs. */
const KEEP_JOBS_MS = 30 * DAY_MS;

/**
 * Removes the records of jobs that ended more than a month ago, except the last job of each organization, and the
 * Idempotency-Keys of removed jobs. Returns the number of removed records.
 */
export async function pruneRegistry({ registry, now }: Platform): Promise<number> {
  const [orgs, jobs, keys] = await Promise.all([
    registry.orgs.all(),
    registry.jobs.all(),
    registry.idempotency.all(),
  ]);
  const last = new Set([...orgs.values()].map(({ job }) => job));
  const before = now().getTime() - KEEP_JOBS_MS;
  let removed = 0;
  for (const [id, job] of jobs) {
    if (last.has(id) || !isEnded(job) || !(Date.parse(job.endedAt ?? "") < before)) continue;
    await registry.jobs.remove(id);
    jobs.delete(id);
    removed++;
  }
  for (const [key, { job }] of keys) {
    // A job that is not in the list may have been created since.
    if (jobs.has(job) || (await registry.jobs.read(job))) continue;
    await registry.idempotency.remove(key);
    removed++;
  }
  return removed;
}
