import { EventEmitter } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import type { Job } from "../../shared/api/jobs.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { VaultError, VaultUnreachableError } from "../../shared/vault/client.ts";
import { CasConflictError } from "../../shared/vault/kv.ts";
import type { JobRecord } from "../registry/records.ts";
import { isEnded, withState, withStep } from "./job-state.ts";
import type { OrgLocks } from "./org-locks.ts";
import { type Submit, type SubmitOptions, submitJobs } from "./submit.ts";
import type { Step, Workflow } from "./workflow.ts";

export interface EngineOptions extends SubmitOptions {
  locks: OrgLocks;
  log: Logger;
  /** Delays between tries, in ms; the number of tries is one more. */
  waits?: number[];
}

/** Runs all jobs. It records each change of a job before the next action, so that a crash loses none. */
export interface Engine {
  /** Each kind's workflow. */
  readonly workflows: EngineOptions["workflows"];
  /**
   * Records a job, runs its first step and continues it in the background. Throws if the first step refuses; then
   * nothing has started. With `once`, a repeated request returns the same job.
   */
  submit: Submit;
  /** Runs a job of the registry in the background until it ends or cannot be recorded. */
  start(id: string): void;
  /** Starts each unfinished job of the registry; called once, when the service starts. */
  resume(): Promise<void>;
  /** Whether a job runs here, is queued, or was interrupted and awaits a restart. */
  isHeld(id: string): boolean;
  /** Restarts interrupted jobs. */
  retry(): void;
  /** Calls `listener` with each change of a job until the returned function is called. */
  watch(id: string, listener: (job: JobRecord) => void): () => void;
  /** Starts no further step, and waits for running ones, at most `withinMs`. */
  stop(withinMs: number): Promise<void>;
}

const WAITS_MS = [250, 500, 1_000, 2_000];
/** Maximum number of concurrent jobs; others are queued. */
const CONCURRENCY = 10;

/** The job cannot continue here: it runs elsewhere, or this process stops. The registry has its progress. */
class Interrupted extends Error {
  override name = "Interrupted";
}

/** An engine for the workflows, one for each kind of job. */
export function createEngine(options: EngineOptions): Engine {
  const { registry, workflows, locks, log, now, failpoint, waits = WAITS_MS } = options;
  const changes = new EventEmitter().setMaxListeners(0);
  const waiting = new Set<string>();
  const running = new Map<string, Promise<void>>();
  const left = new Set<string>();
  let stopping = false;

  async function run(id: string): Promise<void> {
    const found = await retried(() => registry.jobs.read(id));
    if (found) await locks.run(found.value.org, () => advance(id));
  }

  /** Runs a job from its recorded progress. */
  async function advance(id: string): Promise<void> {
    const found = await retried(() => registry.jobs.read(id));
    if (!found || isEnded(found.value)) return;
    let { value: job, version } = found;
    const workflow = workflows[job.kind];

    const save = async (next: JobRecord): Promise<void> => {
      if (stopping) throw new Interrupted("the service is stopping");
      version = await retried(() => replace(next, version));
      job = next;
      changes.emit(id, job);
    };
    const stateOf = (step: Step) => job.steps.find(({ name }) => name === step.name)?.state;

    const forward = async (): Promise<void> => {
      for (const step of workflow.steps) {
        if (stateOf(step) === "done") continue;
        const refusal = await refusalBy(workflow, job);
        if (refusal) return failed(step, refusal);
        if (stateOf(step) === "pending") await save(withStep(job, step.name, "running", now()));
        try {
          await failpoint(`${step.name}:before`);
          await retried(() => step.do(job));
          await failpoint(`${step.name}:after`);
        } catch (error) {
          return failed(step, error);
        }
        // Recorded together with the start of the next step, which saves a write.
        job = withStep(job, step.name, "done", now());
        if (step === workflow.steps.at(-1)) await save(job);
      }
      await retried(() => workflow.succeed(job));
      await save(withState(job, "succeeded", now()));
    };

    const failed = async (step: Step, error: unknown): Promise<void> => {
      log.warn({ job: id, org: job.org, step: step.name, err: error }, "job step failed");
      const next = { ...withStep(job, step.name, "failed", now()), error: describe(step, error) };
      if (isQuarantine(error)) return save(withState(next, "failed", now()));
      await save(withState(next, "undoing", now()));
      await backward();
    };

    const backward = async (): Promise<void> => {
      for (const step of workflow.steps.toReversed()) {
        const state = stateOf(step);
        if (!step.undo || state === "pending" || state === "undone") continue;
        const refusal = await refusalBy(workflow, job);
        if (refusal) return save(withState({ ...job, error: describe(step, refusal) }, "failed", now()));
        await failpoint(`${step.name}:undo`);
        await retried(async () => step.undo?.(job));
        await save(withStep(job, step.name, "undone", now()));
      }
      await retried(async () => workflow.fail?.(job));
      await save(withState(job, "failed", now()));
    };

    await (job.state === "undoing" ? backward() : forward());
  }

  /** The guard's refusal to do or undo anything more, if any. */
  async function refusalBy(workflow: Workflow, job: JobRecord): Promise<Error | undefined> {
    try {
      await retried(async () => workflow.guard?.(job));
      return undefined;
    } catch (error) {
      if (isQuarantine(error)) return error;
      throw error;
    }
  }

  /** Writes the job. A conflict with an identical record is success: an earlier try's response was lost. */
  async function replace(job: JobRecord, version: number): Promise<number> {
    try {
      return await registry.jobs.replace(job.id, job, version);
    } catch (error) {
      if (!(error instanceof CasConflictError)) throw error;
      const found = await registry.jobs.read(job.id);
      if (found && isDeepStrictEqual(found.value, job)) return found.version;
      throw new Interrupted("another process runs the job");
    }
  }

  /** Retries a call a few times if its error is transient. */
  async function retried<T>(call: () => Promise<T>): Promise<T> {
    for (const wait of waits) {
      try {
        return await call();
      } catch (error) {
        if (!isTransient(error) || stopping) throw error;
        await sleep(wait);
      }
    }
    return call();
  }

  function start(id: string): void {
    if (running.has(id) || waiting.has(id) || stopping) return;
    waiting.add(id);
    next();
  }

  function next(): void {
    for (const id of waiting) {
      if (running.size === CONCURRENCY || stopping) return;
      waiting.delete(id);
      left.delete(id);
      running.set(id, runToCompletion(id));
    }
  }

  async function runToCompletion(id: string): Promise<void> {
    try {
      await run(id);
    } catch (error) {
      left.add(id);
      if (!(error instanceof Interrupted)) log.error({ job: id, err: error }, "job interrupted");
    } finally {
      running.delete(id);
      next();
    }
  }

  return {
    workflows,
    submit: submitJobs(options, start),
    start,
    async resume() {
      for (const job of (await registry.jobs.all()).values()) if (!isEnded(job)) start(job.id);
    },
    isHeld: (id) => running.has(id) || waiting.has(id) || left.has(id),
    retry() {
      for (const id of left) start(id);
    },
    watch(id, listener) {
      changes.on(id, listener);
      return () => changes.off(id, listener);
    },
    async stop(withinMs) {
      stopping = true;
      await Promise.race([Promise.all(running.values()), sleep(withinMs, undefined, { ref: false })]);
    },
  };
}

function isTransient(error: unknown): boolean {
  if (error instanceof VaultUnreachableError) return true;
  return error instanceof VaultError && (error.status >= 500 || error.status === 412 || error.status === 429);
}

const isQuarantine = (error: unknown): error is StrongroomError =>
  error instanceof StrongroomError && error.code === "quarantined";

/** The error that the API shows. A Vault's errors contain only its own text and nothing of the request. */
function describe(step: Step, error: unknown): NonNullable<Job["error"]> {
  if (error instanceof StrongroomError) {
    return { code: error.code, step: step.name, detail: error.message, retry: error.retry };
  }
  const known = error instanceof VaultError || error instanceof VaultUnreachableError;
  const detail = known ? error.message : "Unexpected error; search the log for the job's id.";
  return { code: "step_failed", step: step.name, detail, retry: true };
}
