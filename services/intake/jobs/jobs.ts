import { QueueUnavailableError } from "../../shared/queue/queue.ts";
import type { Kind } from "../../shared/work/kinds.ts";
import type { Outcome } from "../../shared/work/messages.ts";
import type { Intake } from "../dependencies.ts";
import { putDue, removeDue } from "../due/due-items.ts";
import type { Item, Write } from "../store/store.ts";
import { inState, type JobRecord, jobKey, type Work } from "./records.ts";
import { CannotSend, type WorkType, type WorkTypes } from "./work-type.ts";

/** A job is sent again if it is not known to be in its queue after this time. */
const RESEND_SECONDS = 10;
/** How long after `notAfter` a worker that has started in time may still report. */
const OVERDUE_SECONDS = 120;
const KEEP_SECONDS = 7 * 24 * 3600;
const MOST_TRIES = 5;

export interface NewJob<W extends Work> {
  id: string;
  org: string;
  kind: Kind;
  work: W;
  /** How long the job may wait until it starts. */
  timeoutSeconds: number;
}

/** What became of a result. */
export type Settled = "settled" | "unknown job" | "not awaited" | "unfit outcome";

/** Jobs for workers: recorded together with the intention to send them, sent, and ended by the first result. */
export interface Jobs {
  /** A job's record before it is stored, queued for its first attempt. */
  create<W extends Work>(job: NewJob<W>): JobRecord<W>;
  /** The record queued for another attempt. */
  again<W extends Work>(job: JobRecord<W>, timeoutSeconds: number): JobRecord<W>;
  /**
   * The writes of a queued job: its record, and the items by which any intake sends it, or ends it if no worker reports.
   * `expect` is the record's revision, 0 for a new one.
   */
  writes(job: JobRecord, expect: number): Write[];
  /**
   * Sends a stored job, whose message may have been composed already. False if the queue is down: an intake sends it
   * later, as it does if this process ends.
   */
  send(job: JobRecord, message?: string): Promise<boolean>;
  get<W extends Work>(key: Pick<JobRecord, "org" | "kind" | "id">): Promise<Item<JobRecord<W>> | undefined>;
  /** Ends an attempt. The first result of the queued attempt counts. */
  settle(
    key: Pick<JobRecord, "org" | "kind" | "id"> & { attempt: number },
    outcome: Outcome,
    at: string,
  ): Promise<Settled>;
}

export function createJobs(intake: Intake, types: WorkTypes): Jobs {
  const { store, queues, watch, log, now } = intake;
  const seconds = () => Math.floor(now() / 1000);
  // The record's `type` picks the type of work that fits it.
  const typeOf = (job: JobRecord) => types[job.work.type] as WorkType<Work>;

  const get: Jobs["get"] = (key) => store.get(jobKey(key));

  const settle: Jobs["settle"] = async (key, outcome, at) => {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const found = await store.get<JobRecord>(jobKey(key));
      if (!found) return "unknown job";
      const job = found.body;
      if (job.state !== "queued" || job.attempt !== key.attempt) return "not awaited";
      const settlement = await typeOf(job).settle(job, outcome, at);
      if (!settlement) return "unfit outcome";
      const isWritten = await store.write([
        put(settlement.job, found.revision),
        ...dueOf(job).map(({ due, at }) => removeDue(due, at)),
        ...settlement.writes,
      ]);
      if (isWritten) {
        watch.changed(job.id);
        return "settled";
      }
    }
    throw new Error("the job kept changing");
  };

  return {
    create({ id, org, kind, work, timeoutSeconds }) {
      const at = new Date(now()).toISOString();
      const queuedAt = seconds();
      const job: JobRecord<typeof work> = {
        ...{ id, org, kind, state: "queued", attempt: 1, queuedAt, work, events: [], createdAt: at },
        notAfter: queuedAt + timeoutSeconds,
        expiresAt: queuedAt + KEEP_SECONDS,
      };
      return inState(job, "queued", at);
    },
    again(job, timeoutSeconds) {
      const { failure: _, endedAt: __, ...rest } = job;
      const queuedAt = seconds();
      const queued = {
        ...rest,
        queuedAt,
        notAfter: queuedAt + timeoutSeconds,
        expiresAt: queuedAt + KEEP_SECONDS,
      };
      return inState(queued, "queued", new Date(now()).toISOString(), job.attempt + 1);
    },
    writes: (job, expect) => [put(job, expect), ...dueOf(job).map(({ due, at }) => putDue(due, at))],
    async send(job, message) {
      try {
        const body = message ?? (await typeOf(job).compose(job));
        await queues[job.kind].jobs.send({ body, group: job.org });
      } catch (error) {
        if (error instanceof CannotSend) {
          const { class: failure, detail } = error.failure;
          await settle(job, { state: "failed", failure, detail }, new Date(now()).toISOString());
          return true;
        }
        if (!(error instanceof QueueUnavailableError)) throw error;
        log.warn({ job: job.id, kind: job.kind, err: error }, "a job will be sent later");
        return false;
      }
      // Sent: if this write fails, the job is sent once more, which its worker has to expect anyway.
      await store
        .write(
          dueOf(job)
            .slice(0, 1)
            .map(({ due, at }) => removeDue(due, at)),
        )
        .catch((err: unknown) => log.warn({ job: job.id, err }, "a job may be sent twice"));
      return true;
    },
    get,
    settle,
  };
}

const put = (job: JobRecord, expect: number): Write => ({
  ...jobKey(job),
  body: job,
  expect,
  expiresAt: job.expiresAt,
});

/** When a queued job must be sent again, and when it is overdue; in this order. */
function dueOf({ org, kind, id, attempt, queuedAt, notAfter }: JobRecord) {
  const about = { org, kind, id, attempt };
  return [
    { due: { type: "send" as const, ...about }, at: queuedAt + RESEND_SECONDS },
    { due: { type: "overdue" as const, ...about }, at: notAfter + OVERDUE_SECONDS },
  ];
}
