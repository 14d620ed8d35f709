import type { Trail } from "../trail.ts";
import type { Workflow } from "./workflow.ts";

/** Wraps a workflow so that the end of each job is recorded on the trail. */
export function onTrail(workflow: Workflow, trail: Trail): Workflow {
  const ended = (how: string, org: string, job: string) =>
    trail.append({ actor: "control-plane", action: `${workflow.kind} ${how}`, org, job });
  return {
    ...workflow,
    async succeed(job) {
      await workflow.succeed(job);
      await ended("succeeded", job.org, job.id);
    },
    async fail(job) {
      await workflow.fail?.(job);
      await ended("failed", job.org, job.id);
    },
  };
}
