import type { Job, JobEvent } from "../../shared/api/jobs.ts";
import type { JobRecord } from "../registry/records.ts";

type StepState = Job["steps"][number]["state"];

/** The job with a step in a new state, its times, and the event. */
export function withStep(job: JobRecord, name: string, state: StepState, now: Date): JobRecord {
  const at = now.toISOString();
  const steps = job.steps.map((step) => {
    if (step.name !== name) return step;
    return {
      ...step,
      state,
      ...(state === "running" ? { startedAt: step.startedAt ?? at } : { endedAt: at }),
    };
  });
  return withEvent({ ...job, steps }, { at, step: name, state });
}

/** The job in a new state, with the event. */
export function withState(job: JobRecord, state: Job["state"], now: Date): JobRecord {
  const at = now.toISOString();
  const ended = state === "succeeded" || state === "failed";
  return withEvent({ ...job, state, ...(ended && { endedAt: at }) }, { at, state });
}

function withEvent(job: JobRecord, event: Omit<JobEvent, "sequence">): JobRecord {
  return { ...job, events: [...job.events, { sequence: job.events.length + 1, ...event }] };
}

/** A new job, with all steps pending. */
export function newJob(
  fields: Pick<JobRecord, "id" | "kind" | "org" | "request">,
  steps: string[],
  now: Date,
): JobRecord {
  const job: JobRecord = {
    ...fields,
    state: "running",
    steps: steps.map((name) => ({ name, state: "pending" })),
    createdAt: now.toISOString(),
    events: [],
  };
  return withState(job, "running", now);
}

export const isEnded = (job: Pick<Job, "state">): boolean =>
  job.state === "succeeded" || job.state === "failed";
