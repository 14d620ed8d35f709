import type { Job } from "../../shared/api/jobs.ts";
import type { Platform } from "../dependencies.ts";
import { onTrail } from "../jobs/on-trail.ts";
import type { Workflow } from "../jobs/workflow.ts";
import { createWorkflow } from "./create.ts";
import { deleteWorkflow } from "./delete.ts";

/** The workflows by kind of job. A kind without a workflow does not compile. */
export type Workflows = Record<Job["kind"], Workflow>;

export const workflows = (platform: Platform): Workflows => ({
  create: onTrail(createWorkflow(platform), platform.trail),
  delete: onTrail(deleteWorkflow(platform), platform.trail),
});
