import type { Job } from "../../shared/api/jobs.ts";
import type { JobRecord } from "../registry/records.ts";

/**
 * One step of a workflow. Both ways must be repeatable: after a crash, or an error that may pass, the same
 * one is called again. Each is a bounded number of calls that are bounded themselves.
 */
export interface Step {
  name: string;
  do(job: JobRecord): Promise<void>;
  /** Takes back what `do` did or had begun to do. Absent where there is nothing to take back. */
  undo?(job: JobRecord): Promise<void>;
}

/** What is done in one kind of job, in order. A step that fails has itself and all before it undone, in reverse. */
export interface Workflow {
  kind: Job["kind"];
  /** What an operator's token needs for submitting one. */
  permission: string;
  steps: Step[];
  /**
   * Called before each step, in either direction. An error with the code `quarantined`, from here or from a
   * step, ends the job where it is: nothing more is done and nothing undone.
   */
  guard?(job: JobRecord): Promise<void>;
  /** Called once every step is recorded as done. The job has succeeded when it returns. */
  succeed(job: JobRecord): Promise<void>;
  /** Called once everything is undone. The job has failed when it returns. */
  fail?(job: JobRecord): Promise<void>;
}

/**
 * A named place where tests let something go wrong: `<step>:before`, `:after`, `:undo`, and those inside
 * steps. Does nothing otherwise.
 */
export type Failpoint = (name: string) => Promise<void>;
