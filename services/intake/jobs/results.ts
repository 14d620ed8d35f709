import { Value } from "typebox/value";
import type { Consumption, Delivery, Disposition } from "../../shared/queue/queue.ts";
import { KINDS, type Kind } from "../../shared/work/kinds.ts";
import { ResultMessage, WorkId } from "../../shared/work/messages.ts";
import type { Intake } from "../dependencies.ts";
import type { Jobs } from "./jobs.ts";

/** Storing a result takes milliseconds: one whose intake has died need not wait long for the next. */
const OPTIONS = { concurrency: 16, visibilitySeconds: 5, maxReceives: 20 };
/** By so much each wait is longer than the one before: 20 tries take six minutes, and most jobs are overdue by then. */
const RETRY_SECONDS = 2;
const LONGEST_RETRY_SECONDS = 30;
const STOP_WITHIN_MS = 3_000;

/**
 * Takes the workers' results, each kind's from its own queue, until `stop`. A result that cannot be taken is dropped: a
 * dead letter would keep a provider's answer in clear. Its job ends as overdue.
 */
export function consumeResults(intake: Intake, jobs: Jobs): { stop(): Promise<void> } {
  const consumptions = KINDS.map(
    (kind): Consumption =>
      intake.queues[kind].results.consume(
        {
          ...OPTIONS,
          onDropped: (body, reason) =>
            intake.log.error({ kind, job: jobOf(body), reason }, "a result cannot be taken; it is dropped"),
        },
        (delivery) => takeResult(intake, jobs, kind, delivery),
      ),
  );
  return {
    async stop() {
      await Promise.all(consumptions.map((each) => each.stop(STOP_WITHIN_MS)));
    },
  };
}

/**
 * Ends the job of a result. A result for a job that this kind of worker does not have, or that does not await it, is
 * dropped: it may have come twice, or its sender may not be honest.
 */
async function takeResult(
  { log, now }: Intake,
  jobs: Jobs,
  kind: Kind,
  { body, receiveCount }: Delivery,
): Promise<Disposition> {
  const result = parse(body);
  if (!Value.Check(ResultMessage, result)) return { park: "malformed" };
  const { job: id, org, attempt, outcome } = result;
  try {
    const settled = await jobs.settle({ org, kind, id, attempt }, outcome, new Date(now()).toISOString());
    const line = { kind, org, job: id, attempt, outcome: outcome.state, reason: settled };
    if (settled === "settled") log.debug(line, "a result is taken");
    else if (settled === "not awaited") log.info(line, "a result is dropped");
    else log.warn(line, "a result is dropped");
    return { done: true };
  } catch (err) {
    log.warn({ kind, org, job: id, err }, "a result could not be stored; it is tried again");
    return { retryAfterSeconds: Math.min(RETRY_SECONDS * receiveCount, LONGEST_RETRY_SECONDS) };
  }
}

/** The job's ID, if a message that may be malformed has one; nothing else of it. */
function jobOf(body: string): string | undefined {
  const job = (parse(body) as { job?: unknown } | null | undefined)?.job;
  return Value.Check(WorkId, job) ? job : undefined;
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
