import type { Platform } from "../dependencies.ts";
import { isEnded } from "../jobs/job-state.ts";

const DAY_MS = 24 * 3600 * 1000;
/** How long a job that has ended can still be read. */
const KEEP_JOBS_MS = 30 * DAY_MS;

/**
 * Removes the records of jobs that ended a month ago, but for the last of each organization, and the
 * Idempotency-Keys of jobs that are gone. Gives how many records it removed.
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
    // Not seen above may mean that it was made since.
    if (jobs.has(job) || (await registry.jobs.read(job))) continue;
    await registry.idempotency.remove(key);
    removed++;
  }
  return removed;
}
