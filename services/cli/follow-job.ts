import type { Job } from "../shared/api/jobs.ts";
import type { ControlPlane } from "./control-plane-client.ts";
import { Failure } from "./failure.ts";
import type { Output } from "./output.ts";
import { duration } from "./progress.ts";

const DOING: Record<Job["kind"], string> = { create: "Onboarding", delete: "Deleting" };

/**
 * Follows a job to its end, printing each step with its duration. Returns the ended job. Throws Failure
 * `failure` if the job failed, with the reason and whether a retry may help.
 */
export async function followJob(
  controlPlane: ControlPlane,
  job: Job,
  name: string,
  out: Output,
  signal?: AbortSignal,
): Promise<Job> {
  out.note(`${DOING[job.kind]} ${out.style("bold", name)} (job ${job.id})`);
  const begun = new Map<string, number>();
  for await (const { step, state, at } of controlPlane.jobEvents(job.id, signal)) {
    const now = Date.parse(at);
    if (!step) {
      if (state === "undoing") out.note("  A step failed; undoing the completed steps");
      continue;
    }
    if (state === "running") begun.set(step, now);
    if (state === "done") out.note(line(out, "green", "✓", step, now - (begun.get(step) ?? now)));
    if (state === "failed") out.note(line(out, "red", "✗", step, now - (begun.get(step) ?? now)));
    if (state === "undone") out.note(`  ${out.style("yellow", "↺")} ${step} undone`);
  }
  const ended = await controlPlane.job(job.id);
  if (ended.state === "failed") {
    const { step, detail, retry } = ended.error ?? {
      step: "?",
      detail: "the control plane reported no reason",
      retry: false,
    };
    throw new Failure(
      "failure",
      `${name}: step ${step} failed: ${detail}`,
      retry ? "Try the same command again." : "Running the same command again will not help.",
    );
  }
  return ended;
}

function line(out: Output, colour: "green" | "red", mark: string, step: string, ms: number): string {
  return `  ${out.style(colour, mark)} ${step.padEnd(20)} ${out.style("dim", duration(ms).padStart(7))}`;
}

/** The duration of a job, so far if it still runs, in milliseconds. */
export function jobDuration(job: Job): number {
  return (job.endedAt ? Date.parse(job.endedAt) : Date.now()) - Date.parse(job.createdAt);
}
