import { FAILURES, type FailureClass, type Traffic } from "../shared/work/messages.ts";

/** A job failed, for a reason of the closed set. `message` is for the organization and contains no secret. */
export class JobFailure extends Error {
  override name = "JobFailure";
  readonly failure: FailureClass;
  /** Whether another attempt by this worker may succeed. */
  readonly isTransient: boolean;
  /** What went over the wire before, if that is reported. */
  traffic: Traffic | undefined;

  /** `isFinal` leaves another attempt to the sender of the job, though the failure is transient. */
  constructor(failure: FailureClass, detail: string, { isFinal = false }: { isFinal?: boolean } = {}) {
    super(detail);
    this.failure = failure;
    this.isTransient = FAILURES[failure].isTransient && !isFinal;
  }
}
