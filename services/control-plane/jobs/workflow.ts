import type { Job } from "../../shared/api/jobs.ts";
import type { JobRecord } from "../registry/records.ts";

/**
 * One step of a workflow. `do` and `undo` must be idempotent: they are called again after a crash or a transient
 * error. Each makes a bounded number of calls, each with a timeout.
 */
export interface Step {
  name: string;
  do(job: JobRecord): Promise<void>;
  /** Undoes `do`, complete or not. Absent if there is nothing to undo. */
  undo?(job: JobRecord): Promise<void>;
}

/** The steps of one kind of job, in order. If one fails, it and all before it are undone in reverse. */
export interface Workflow {
  kind: Job["kind"];
  /** The permission that an operator needs to submit one. */
  permission: string;
  steps: Step[];
  /**
   * Called before each step, in either direction. An error with the code `quarantined`, from here or from a step,
   * ends the job at once: nothing more is done or undone.
   */
  guard?(job: JobRecord): Promise<void>;
  /** Called once every step is recorded as done. The job has succeeded when it returns. */
  succeed(job: JobRecord): Promise<void>;
  /** Called once everything is undone. The job has failed when it returns. */
  fail?(job: JobRecord): Promise<void>;
}

/**
 * A named point at which tests inject failures: `<step>:before`, `:after`, `:undo`, and points inside steps. Does
 * nothing otherwise.
 */
export type Failpoint = (name: string) => Promise<void>;
