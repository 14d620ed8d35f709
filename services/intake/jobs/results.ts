import { Value } from "typebox/value";
import type { Consumption, Disposition } from "../../shared/queue/queue.ts";
import { KINDS, type Kind } from "../../shared/work/kinds.ts";
import { ResultMessage } from "../../shared/work/messages.ts";
import type { Intake } from "../dependencies.ts";
import type { Jobs } from "./jobs.ts";

/** Storing a result takes milliseconds: one whose intake has died need not wait long for the next. */
const OPTIONS = { concurrency: 16, visibilitySeconds: 5, maxReceives: 20 };
const RETRY_SECONDS = 2;
const STOP_WITHIN_MS = 3_000;

/** Takes the workers' results, each kind's from its own queue, until `stop`. */
export function consumeResults(intake: Intake, jobs: Jobs): { stop(): Promise<void> } {
  const consumptions = KINDS.map(
    (kind): Consumption =>
      intake.queues[kind].results.consume(OPTIONS, ({ body }) => takeResult(intake, jobs, kind, body)),
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
export async function takeResult(
  { log, now }: Intake,
  jobs: Jobs,
  kind: Kind,
  body: string,
): Promise<Disposition> {
  const result = parse(body);
  if (!result) {
    log.error({ kind }, "a result is malformed");
    return { park: "malformed" };
  }
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
    return { retryAfterSeconds: RETRY_SECONDS };
  }
}

function parse(body: string): ResultMessage | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return Value.Check(ResultMessage, value) ? value : undefined;
  } catch {
    return undefined;
  }
}
