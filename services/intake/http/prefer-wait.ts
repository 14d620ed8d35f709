import { Type } from "typebox";
import { waitForJob } from "../jobs/follow.ts";
import type { JobRecord, Work } from "../jobs/records.ts";

const MOST_WAIT_SECONDS = 30;

/** The header `Prefer` of requests that make a job. */
export const Preference = Type.Optional(
  Type.String({
    maxLength: 200,
    description: `\`wait=N\`: answer with the finished job if it ends within N seconds (at most ${MOST_WAIT_SECONDS})`,
  }),
);

/**
 * The job once it has ended, if the caller prefers to wait for that and it ends in time; waits no longer than the
 * caller, and not when the server closes.
 */
export async function preferredEnd<W extends Work>(
  parts: Parameters<typeof waitForJob>[0],
  job: JobRecord<W>,
  prefer: string | undefined,
  { response, closing }: { response: NodeJS.EventEmitter; closing: AbortSignal },
): Promise<JobRecord<W> | undefined> {
  const seconds = waitSeconds(prefer);
  if (seconds === undefined) return undefined;
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const signal = AbortSignal.any([gone.signal, closing]);
  const found = (await waitForJob<W>(parts, job, seconds * 1000, signal)) ?? job;
  return found.state === "queued" ? undefined : found;
}

/** The seconds of `wait` in a `Prefer` header (RFC 7240); other preferences are ignored. */
function waitSeconds(prefer: string | undefined): number | undefined {
  const [, seconds] = /(?:^|,)\s*wait=([0-9]{1,6})\s*(?:[;,]|$)/i.exec(prefer ?? "") ?? [];
  return seconds === undefined ? undefined : Math.min(Number(seconds), MOST_WAIT_SECONDS);
}
