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
  /** Waits between tries, ms; as many tries as there are waits, and one. */
  waits?: number[];
}

/** The one runner of jobs. Each change of a job is recorded before the next thing is done, so that a crash loses none. */
export interface Engine {
  /** Each kind's workflow. */
  readonly workflows: EngineOptions["workflows"];
  /**
   * Records a job, runs its first step and starts it in the background. Throws what the first step refuses; then
   * nothing has begun. With `once`, the same request returns the job it got before.
   */
  submit: Submit;
  /** Runs a job that is in the registry, in the background, until it has ended or cannot be recorded. */
  start(id: string): void;
  /** Starts each job of the registry that has not ended; once, when the service starts. */
  resume(): Promise<void>;
  /** Whether a job is under way here, waits for its turn, or was left to be started again. */
  isHeld(id: string): boolean;
  /** Starts those again that had to be left before their end. */
  retry(): void;
  /** Calls back with a job each time it has changed, until the function that it gives is called. */
  watch(id: string, listener: (job: JobRecord) => void): () => void;
  /** Starts no further step, and waits for those under way, `withinMs` at most. */
  stop(withinMs: number): Promise<void>;
}

const WAITS_MS = [250, 500, 1_000, 2_000];
/** Jobs at the same time; the others wait for their turn. */
const CONCURRENCY = 10;

/** The job cannot go on now: it is being run elsewhere, or this process stops. The registry says where it is. */
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

  /** Runs a job from where the registry says it is. */
  async function advance(id: string): Promise<void> {
    const found = await retried(() => registry.jobs.read(id));
    if (!found || isEnded(found.value)) return;
    let { value: job, version } = found;
    const workflow = workflows[job.kind];

    const save = async (next: JobRecord): Promise<void> => {
      if (stopping) throw new Interrupted("the service stops");
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
        // Recorded together with the beginning of the next step, which saves a write.
        job = withStep(job, step.name, "done", now());
        if (step === workflow.steps.at(-1)) await save(job);
      }
      await retried(() => workflow.succeed(job));
      await save(withState(job, "succeeded", now()));
    };

    const failed = async (step: Step, error: unknown): Promise<void> => {
      log.warn({ job: id, org: job.org, step: step.name, err: error }, "a step failed");
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

  /** Why the guard lets nothing more be done or undone, if so. */
  async function refusalBy(workflow: Workflow, job: JobRecord): Promise<Error | undefined> {
    try {
      await retried(async () => workflow.guard?.(job));
      return undefined;
    } catch (error) {
      if (isQuarantine(error)) return error;
      throw error;
    }
  }

  /** Writes the job. A write that was answered too late to be heard has happened all the same. */
  async function replace(job: JobRecord, version: number): Promise<number> {
    try {
      return await registry.jobs.replace(job.id, job, version);
    } catch (error) {
      if (!(error instanceof CasConflictError)) throw error;
      const found = await registry.jobs.read(job.id);
      if (found && isDeepStrictEqual(found.value, job)) return found.version;
      throw new Interrupted("the job is run by someone else");
    }
  }

  /** Tries again, a few times, what fails for a reason that may pass. */
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
      if (!(error instanceof Interrupted))
        log.error({ job: id, err: error }, "a job was left before its end");
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

/** What the job's callers are told. Errors of a Vault hold its own words and nothing of the request. */
function describe(step: Step, error: unknown): NonNullable<Job["error"]> {
  if (error instanceof StrongroomError) {
    return { code: error.code, step: step.name, detail: error.message, retry: error.retry };
  }
  const known = error instanceof VaultError || error instanceof VaultUnreachableError;
  const detail = known ? error.message : "An unexpected error; the log has it under the job's id.";
  return { code: "step_failed", step: step.name, detail, retry: true };
}
