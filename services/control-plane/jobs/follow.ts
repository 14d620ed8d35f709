import { setTimeout as sleep } from "node:timers/promises";
import type { JobRecord } from "../registry/records.ts";
import { isEnded } from "./job-state.ts";

export interface FollowOptions {
  /** The number of the last event already seen. */
  after: number;
  /** Calls `listener` with each change of the job made here until the returned function is called. */
  watch(id: string, listener: (job: JobRecord) => void): () => void;
  read(): Promise<JobRecord>;
  /** Ends the stream. */
  signal: AbortSignal;
  heartbeatMs?: number;
}

/** Often enough that an idle connection is not taken for dead. */
const HEARTBEAT_MS = 15_000;

/**
 * A job's changes as server-sent events: the past ones after `after`, then each new one until the job ends. As
 * heartbeat it sends a comment and reads the registry, in case the job runs elsewhere.
 */
export async function* followJob(job: JobRecord, options: FollowOptions): AsyncGenerator<string> {
  const { watch, read, signal, heartbeatMs = HEARTBEAT_MS } = options;
  let latest = job;
  let last = options.after;
  let wake = () => {};
  const unwatch = watch(job.id, (changed) => {
    latest = changed;
    wake();
  });
  signal.addEventListener("abort", () => wake());
  try {
    // Picks up changes between the caller's read and the start of watching.
    latest = await read();
    while (!signal.aborted) {
      for (const event of latest.events.filter(({ sequence }) => sequence > last)) {
        yield `id: ${event.sequence}\nevent: ${event.step ? "step" : "job"}\ndata: ${JSON.stringify(event)}\n\n`;
        last = event.sequence;
      }
      if (isEnded(latest)) return;
      if (signal.aborted || latest.events.length > last) continue;
      const changed = new Promise<true>((resolve) => {
        wake = () => resolve(true);
      });
      const quiet = new AbortController();
      const heard = await Promise.race([
        changed,
        sleep(heartbeatMs, false, { signal: quiet.signal, ref: false }).catch(() => false),
      ]);
      quiet.abort();
      if (heard) continue;
      yield ": still here\n\n";
      const stored = await read();
      if (stored.events.length > latest.events.length) latest = stored;
    }
  } finally {
    unwatch();
  }
}
