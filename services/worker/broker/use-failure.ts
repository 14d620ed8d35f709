import type { CallFailed, CallFailure } from "../../shared/broker/calls.ts";

/** What the caller may be told beside the failure: see {@link CallFailed}. */
export type FailureParts = Pick<CallFailed, "part" | "retryAfterSeconds" | "status">;

/** A call failed, for a reason of the closed set. `message` is for the caller and contains no secret. */
export class UseFailure extends Error {
  override name = "UseFailure";
  readonly failure: CallFailure;
  readonly parts: FailureParts;

  constructor(failure: CallFailure, detail: string, parts: FailureParts = {}) {
    super(detail.slice(0, 1000));
    this.failure = failure;
    this.parts = parts;
  }
}
