import type { Outcome } from "../../shared/work/messages.ts";
import type { Write } from "../store/store.ts";
import type {
  DeliveryWork,
  FetchWork,
  JobFailure,
  JobRecord,
  KeyWork,
  RewrapSecretsWork,
  RewrapWork,
  RotateWork,
  UseWork,
  Work,
} from "./records.ts";

/** What a type of work is to the job engine. */
export interface WorkType<W extends Work> {
  /** The message for the worker's queue. Throws {@link CannotSend}. */
  compose(job: JobRecord<W>): Promise<string>;
  /**
   * What a result changes: the job's new record, and other writes, at most seven, that belong to it. Undefined if the
   * outcome is not one of this work's.
   */
  settle(job: JobRecord<W>, outcome: Outcome, at: string): Promise<Settlement | undefined>;
}

export interface Settlement {
  job: JobRecord;
  writes: Write[];
}

/** All types of work. */
export interface WorkTypes {
  request: WorkType<UseWork>;
  "make-sealing-key": WorkType<KeyWork>;
  rewrap: WorkType<RewrapWork>;
  deliver: WorkType<DeliveryWork>;
  fetch: WorkType<FetchWork>;
  rotate: WorkType<RotateWork>;
  "rewrap-secrets": WorkType<RewrapSecretsWork>;
}

/** A job cannot be sent, now and later: its credential or its request is gone. */
export class CannotSend extends Error {
  override name = "CannotSend";
  readonly failure: JobFailure;

  constructor(failure: JobFailure) {
    super(failure.detail);
    this.failure = failure;
  }
}
