import type { Job } from "../../shared/api/jobs.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { type JobRecord, newJobId } from "../registry/records.ts";
import type { Registry } from "../registry/registry.ts";
import { type Once, recall, remember } from "./idempotency.ts";
import { newJob, withStep } from "./job-state.ts";
import type { Failpoint, Workflow } from "./workflow.ts";

export interface SubmitOptions {
  registry: Registry;
  workflows: Record<Job["kind"], Workflow>;
  now: () => Date;
  failpoint: Failpoint;
}

/** Submits a job of a kind. */
export type Submit = (kind: Job["kind"], wanted: Wanted) => Promise<JobRecord>;

/** The subject of a job to submit. */
export interface Wanted {
  org: string;
  request?: JobRecord["request"];
  /** Set if the caller may repeat the request. */
  once?: Once | undefined;
}

/**
 * Submits jobs: records one, runs its first step, and starts it. If that step refuses, it throws and nothing has
 * started. If a first step without undo fails for another reason, the engine retries it.
 */
export function submitJobs(
  { registry, workflows, now, failpoint }: SubmitOptions,
  start: (id: string) => void,
): Submit {
  return async function submit(kind, wanted): Promise<JobRecord> {
    const { org, request, once } = wanted;
    const known = once && (await recall(registry, once));
    if (known) return known;

    const { steps } = workflows[kind];
    const [first] = steps;
    if (!first) throw new Error(`${kind}: the workflow has no step`);
    const names = steps.map(({ name }) => name);
    const fresh = newJob({ id: newJobId(), kind, org, ...(request && { request }) }, names, now());
    const job = withStep(fresh, first.name, "running", now());
    const version = await registry.jobs.create(job.id, job);
    if (once && !(await remember(registry, once, job.id))) {
      await registry.jobs.remove(job.id);
      return submit(kind, wanted);
    }
    try {
      await failpoint(`${first.name}:before`);
      await first.do(job);
      await failpoint(`${first.name}:after`);
    } catch (error) {
      if (!first.undo && !(error instanceof StrongroomError)) {
        start(job.id);
        return job;
      }
      await first.undo?.(job);
      if (once) await registry.idempotency.remove(once.key);
      await registry.jobs.remove(job.id);
      throw error;
    }
    const begun = withStep(job, first.name, "done", now());
    await registry.jobs.replace(job.id, begun, version);
    start(job.id);
    return begun;
  };
}
