import { duration } from "../../shared/progress.ts";
import { followJob, jobDuration } from "../follow-job.ts";
import type { Session } from "../session.ts";

/** `strongroom job <job>`: its steps so far and from now on, until its end. */
export async function job(session: Session, [id = ""]: string[]): Promise<undefined> {
  const controlPlane = await session.controlPlane();
  const found = await controlPlane.job(id);
  const ended = await followJob(controlPlane, found, found.org, session.out);
  session.out.note(`Done in ${duration(jobDuration(ended))}`);
  session.out.data(ended, () => ended.state);
}
