import { Value } from "typebox/value";
import { JobId } from "../../shared/api/jobs.ts";
import { StrongroomError } from "../../shared/errors.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { followJob, jobDuration } from "../follow-job.ts";
import { duration } from "../progress.ts";
import type { Session } from "../session.ts";

export const jobCommand: CliCommand = {
  declare(line) {
    line.argument("<job>", "the job's id");
  },
  run: job,
};

const WHERE_JOBS_ARE = "To find an organization's last job: strongroom org show ORG";

/** `strongroom org job <job>`: prints the job's steps, past and future, until it ends. */
async function job(session: Session, [id = ""]: string[]): Promise<undefined> {
  if (!Value.Check(JobId, id)) {
    const form = "expected j and 15 letters or digits, like jabcdefghijklmno";
    throw new Failure("usage", `${JSON.stringify(id)} is not a job's id: ${form}`, WHERE_JOBS_ARE);
  }
  const controlPlane = await session.controlPlane();
  const found = await controlPlane.job(id).catch((error: unknown) => {
    if (!(error instanceof StrongroomError) || error.code !== "not_found") throw error;
    throw new Failure("notFound", error.message, WHERE_JOBS_ARE);
  });
  const ended = await followJob(controlPlane, found, found.org, session.out);
  session.out.note(`Done in ${duration(jobDuration(ended))}`);
  session.out.data(ended, () => ended.state);
}
