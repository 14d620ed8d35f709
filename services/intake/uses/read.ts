import type { UseWithResult } from "../../shared/api/uses.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { isAtLeast } from "../../shared/front/levels.ts";
import type { Level } from "../../shared/org.ts";
import {
  type JobRecord,
  queuedPartition,
  type RewrapWork,
  requestKey,
  type StoredRequest,
  type UseWork,
} from "../jobs/records.ts";
import type { Item } from "../store/store.ts";
import { useMessage } from "./messages.ts";
import { type UseParts, usableCredential } from "./submit.ts";
import { asResult } from "./view.ts";
import { resultKey, type StoredResult } from "./work-type.ts";

export const isRewrap = (job: JobRecord<UseWork | RewrapWork>): job is JobRecord<RewrapWork> =>
  job.work.type === "rewrap";

/** The record of a use or a rewrap. Throws `not_found`, also for another organization's. */
export async function readJob(
  { jobs }: Pick<UseParts, "jobs">,
  org: string,
  id: string,
): Promise<Item<JobRecord<UseWork> | JobRecord<RewrapWork>>> {
  // Only a rewrap may be one of the broker's kind.
  const found =
    (await jobs.get({ org, kind: "integration", id })) ?? (await jobs.get({ org, kind: "broker", id }));
  const type = found?.body.work.type;
  if (type !== "request" && type !== "rewrap") {
    throw new StrongroomError("not_found", "There is no such job.");
  }
  return found as Item<JobRecord<UseWork> | JobRecord<RewrapWork>>;
}

/** A use's record. Throws `not_found`, and `conflict` for a rewrap. */
async function readUse(parts: UseParts, org: string, id: string): Promise<Item<JobRecord<UseWork>>> {
  const { body, ...item } = await readJob(parts, org, id);
  if (!isRewrap(body)) return { ...item, body };
  throw new StrongroomError("conflict", "A rewrap is not tried again under its ID. Ask for another one.");
}

/**
 * The result of a use; undefined if it has not succeeded. Throws `forbidden` for a level below the credential's, and
 * `result_gone`.
 */
export async function useResult(
  { intake: { store } }: UseParts,
  { org, id, state, work }: JobRecord<UseWork>,
  level: Level,
): Promise<UseWithResult["result"]> {
  if (!isAtLeast(level, work.level)) {
    throw new StrongroomError("forbidden", `Reading this job needs the level ${work.level} or above.`);
  }
  if (state !== "succeeded") return undefined;
  const found = await store.get<StoredResult>(resultKey(org, id));
  if (!found) {
    throw new StrongroomError("result_gone", `The result was kept until ${work.resultUntil}.`);
  }
  return asResult(found.body);
}

/**
 * Queues a failed use for another attempt, with the same request and the same version of the credential. Throws
 * `conflict` if it has not failed or the credential has another version now, `result_gone` if the request is no longer
 * kept, and what `usableCredential` throws.
 */
export async function redriveUse(
  parts: UseParts,
  org: string,
  level: Level,
  id: string,
): Promise<JobRecord<UseWork>> {
  const { intake, jobs, inFlight } = parts;
  const found = await readUse(parts, org, id);
  if (found.body.state !== "failed") {
    throw new StrongroomError("conflict", "Only a failed job can be tried again.");
  }
  const usable = await usableCredential(intake, org, level, found.body.work.credential);
  if (usable.record.version !== found.body.work.version) {
    throw new StrongroomError(
      "conflict",
      "The credential has a newer version. Submit the request as a new job.",
    );
  }
  const request = await intake.store.get<StoredRequest>(requestKey(found.body));
  if (!request) throw new StrongroomError("result_gone", "The job's request is no longer kept.");
  await inFlight.admit(org);
  const job = jobs.again(found.body, found.body.work.timeoutSeconds);
  const isWritten = await intake.store.write([
    ...jobs.writes(job, found.revision),
    { partition: queuedPartition(org), sort: id, body: {}, expiresAt: job.expiresAt },
    { ...requestKey(job), body: request.body, expiresAt: job.expiresAt },
  ]);
  if (!isWritten) throw new StrongroomError("conflict", "The job is being tried again already.");
  await jobs.send(job, useMessage(job, usable, request.body.envelope));
  return job;
}
