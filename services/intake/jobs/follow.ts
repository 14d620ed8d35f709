import type { Intake } from "../dependencies.ts";
import type { Jobs } from "./jobs.ts";
import type { JobRecord, Work } from "./records.ts";

/** How often a job is read while waiting, since another intake may take its result: at first, and later. */
const LOOK_EVERY_MS = { first: 100, last: 1_000 };
/** Often enough that an idle connection is not taken for dead. */
const HEARTBEAT_MS = 15_000;

type Key = Pick<JobRecord, "org" | "kind" | "id">;
interface Parts {
  intake: Pick<Intake, "watch">;
  jobs: Pick<Jobs, "get">;
}

/** The job once it is no longer queued, or as it is after `ms`, or when the signal aborts; undefined if it is gone. */
export async function waitForJob<W extends Work>(
  { intake, jobs }: Parts,
  key: Key,
  ms: number,
  signal?: AbortSignal,
): Promise<JobRecord<W> | undefined> {
  let look = LOOK_EVERY_MS.first;
  for (const end = performance.now() + ms; ; look = Math.min(look * 2, LOOK_EVERY_MS.last)) {
    const left = end - performance.now();
    // Listens before it reads, so that no change falls in between.
    const changed = intake.watch.next(key.id, Math.min(Math.max(left, 0), look), signal);
    const found = await jobs.get<W>(key);
    if (found?.body.state !== "queued" || left <= 0 || signal?.aborted) return found?.body;
    await changed;
  }
}

/**
 * A job's changes as server-sent events: those after the event numbered `after`, then each new one until the job ends
 * or the signal aborts. As heartbeat it sends a comment.
 */
export async function* followJob(
  parts: Parts,
  key: Key,
  { after, signal }: { after: number; signal: AbortSignal },
): AsyncGenerator<string> {
  let last = after;
  for (let quietSince = performance.now(); !signal.aborted; ) {
    const changed = parts.intake.watch.next(key.id, LOOK_EVERY_MS.last, signal);
    const job = (await parts.jobs.get(key))?.body;
    if (!job) return;
    for (const event of job.events.filter(({ sequence }) => sequence > last)) {
      yield `id: ${event.sequence}\nevent: job\ndata: ${JSON.stringify(event)}\n\n`;
      last = event.sequence;
      quietSince = performance.now();
    }
    if (job.state !== "queued") return;
    if (performance.now() - quietSince > HEARTBEAT_MS) {
      yield ": still here\n\n";
      quietSince = performance.now();
    }
    await changed;
  }
}
