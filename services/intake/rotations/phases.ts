import type { Recipe } from "../../shared/broker/recipe.ts";
import type { Completion } from "../../shared/receipts/receipt.ts";
import type { Outcome, RotationPhase } from "../../shared/work/messages.ts";
import { FAILURES } from "../../shared/work/messages.ts";
import type { JobFailure } from "../jobs/records.ts";
import type { RotationRecord, RunPhase, RunRecord } from "./records.ts";

type Failed = Extract<Outcome, { state: "failed" }>;

const STEPS_KEPT = 40;
/**
 * Seconds until a phase that failed is tried again; then the run fails. A worker has made tries of its own before. A new
 * key may take a while until the provider knows it everywhere; an old one must not stay.
 */
const BACKOFF: Record<RotationPhase, number[]> = {
  make: [10, 60, 300],
  // A password that may have been changed must become known: for a day.
  apply: [10, 60, 300, 900, ...Array.from({ length: 24 }, () => 3_600)],
  check: [2, 5, 15, 30, 60, 120],
  revoke: [10, 60, 300, 900, 1_800, 3_600, 3_600],
};

/** The phases that a worker does. */
export const isWorkersPhase = (phase: RunPhase): phase is RotationPhase => phase in BACKOFF;

/** What brings a new value into use, and shows that it works. A role of PostgreSQL is asked for both at once. */
export const proofOf = ({ type }: Recipe): RotationPhase => (type === "postgresql" ? "apply" : "check");

export const canRevoke = (recipe: Recipe): boolean =>
  recipe.type === "aws_access_key" || (recipe.type === "rest" && recipe.revoke !== undefined);

/** The run in its next phase, at its first try. */
export function inPhase(run: RunRecord, phase: RunPhase, at: string): RunRecord {
  const { job: _, waitUntil: __, ...rest } = run;
  return { ...rest, phase, tries: 0, steps: [...run.steps, { phase, at }].slice(-STEPS_KEPT) };
}

/** The run at its end. What of it is left to do is done by the next step. */
export const ended = (run: RunRecord, at: string, failure?: JobFailure): RunRecord => ({
  ...inPhase(run, "ended", at),
  state: failure ? "failed" : "succeeded",
  ...(failure && { failure }),
});

/** Seconds until a run's phase is tried again after a failure; undefined if it is not. */
export function retryAfter(run: RunRecord, { failure }: Failed): number | undefined {
  if (!isWorkersPhase(run.phase)) return undefined;
  const isWaitedFor = run.phase === "check" && failure === "provider_refused";
  if (!isWaitedFor && failure !== "expired" && !FAILURES[failure].isTransient) return undefined;
  return BACKOFF[run.phase][run.tries];
}

/** The run after a failure of its phase that will be tried again. */
export function tried(run: RunRecord, failure: JobFailure, at: string): RunRecord {
  const { job: _, waitUntil: __, ...rest } = run;
  const steps = [...run.steps, { phase: run.phase, at, failure }].slice(-STEPS_KEPT);
  return { ...rest, tries: run.tries + 1, steps };
}

/**
 * What is known of attempts to make a key after one failed. A key that was refused was not made: its idempotency key is
 * not used again, since a provider may remember what it answered.
 */
export function makingAfter(making: RotationRecord["making"], { traffic }: Failed): RotationRecord["making"] {
  const status = traffic?.status;
  const isRefused = status !== undefined && status >= 400 && status < 500;
  return making && isRefused ? { since: making.since } : making;
}

/** Failures before which nothing can have been sent. */
const UNSENT = [
  ...["malformed", "not_openable", "policy_mismatch", "request_not_allowed"],
  ...["destination_refused", "key_unavailable"],
];
/** Failures after which nobody knows what the provider has done. */
const UNKNOWN = ["expired", "timeout", "internal"];

/** What a receipt says of a phase's end. */
export function completionOf(outcome: Outcome, ms: number): Completion {
  const traffic = "traffic" in outcome ? outcome.traffic : undefined;
  const common = {
    ...{ sentBytes: 0, receivedBytes: 0, ...traffic },
    ...{ ms: Math.max(0, Math.round(ms)), scrubbed: 0 },
  };
  if (outcome.state !== "failed") return { ...common, outcome: "answered" };
  const { failure } = outcome;
  const isUnsent = UNSENT.includes(failure) && common.status === undefined;
  const isUnknown = UNKNOWN.includes(failure) && common.status === undefined;
  return { ...common, failure, outcome: isUnsent ? "not_sent" : isUnknown ? "unknown" : "failed" };
}
