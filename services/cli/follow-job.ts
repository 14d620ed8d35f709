import type { Job } from "../shared/api/jobs.ts";
import type { ControlPlane } from "./control-plane-client.ts";
import { Failure } from "./failure.ts";
import type { Output } from "./output.ts";
import { duration } from "./progress.ts";

const DOING: Record<Job["kind"], string> = { create: "Onboarding", delete: "Deleting" };

/**
 * Follows a job to its end: each step is a line with the time it took. Gives the job as it ended.
 * Failure `failure` where it failed, with the reason and whether the same again may work.
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
      if (state === "undoing") out.note("  A step failed; undoing what was done");
      continue;
    }
    if (state === "running") begun.set(step, now);
    if (state === "done") out.note(line(out, "green", "✓", step, now - (begun.get(step) ?? now)));
    if (state === "failed") out.note(line(out, "red", "✗", step, now - (begun.get(step) ?? now)));
    if (state === "undone") out.note(`  ${out.style("yellow", "↺")} ${step} undone`);
  }
  const ended = await controlPlane.job(job.id);
  if (ended.state === "failed") {
    const { step, detail, retry } = ended.error ?? { step: "?", detail: "no reason was given", retry: false };
    throw new Failure(
      "failure",
      `${name}: the step ${step} failed: ${detail}`,
      retry ? "The same command may work when run again." : "Running the same command again will not help.",
    );
  }
  return ended;
}

function line(out: Output, colour: "green" | "red", mark: string, step: string, ms: number): string {
  return `  ${out.style(colour, mark)} ${step.padEnd(20)} ${out.style("dim", duration(ms).padStart(7))}`;
}

/** How long a job took, or has taken so far, in milliseconds. */
export function jobDuration(job: Job): number {
  return (job.endedAt ? Date.parse(job.endedAt) : Date.now()) - Date.parse(job.createdAt);
}
