import type { Rewrap } from "../../shared/api/uses.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { readCredential } from "../credentials/credentials.ts";
import { materialKey, type StoredMaterial } from "../credentials/records.ts";
import { newWorkId } from "../ids.ts";
import { type JobRecord, queuedPartition, type RewrapWork } from "../jobs/records.ts";
import type { UseParts } from "../uses/submit.ts";
import { asFailure } from "../uses/view.ts";

const TIMEOUT_SECONDS = 300;

/**
 * Asks a worker to seal a credential anew, also a disabled one. Throws `not_found`, `conflict` if the credential is
 * being changed, `too_many_requests`.
 */
export async function submitRewrap(
  { intake, jobs, inFlight }: Pick<UseParts, "intake" | "jobs" | "inFlight">,
  org: string,
  name: string,
): Promise<JobRecord<RewrapWork>> {
  const { store, now } = intake;
  const { version, purpose } = (await readCredential(intake, org, name)).body;
  const material = await store.get<StoredMaterial>(materialKey(org, name));
  if (material?.body.version !== version) {
    throw new StrongroomError("conflict", "The credential is being changed at the same time. Try again.");
  }
  await inFlight.admit(org);
  const job = jobs.create({
    ...{ org, kind: purpose, id: newWorkId(now()), timeoutSeconds: TIMEOUT_SECONDS },
    work: { type: "rewrap", credential: name, version, materialRevision: material.revision },
  });
  const isWritten = await store.write([
    ...jobs.writes(job, 0),
    { partition: queuedPartition(org), sort: job.id, body: {}, expiresAt: job.expiresAt },
  ]);
  if (!isWritten) throw new StrongroomError("conflict", "The job could not be recorded. Try again.");
  await jobs.send(job);
  return job;
}

/** A rewrap as the API shows it. */
export function asRewrap({
  id,
  state,
  attempt,
  createdAt,
  endedAt,
  failure,
  work,
}: JobRecord<RewrapWork>): Rewrap {
  return {
    ...{ id, type: "rewrap", state: state === "waiting" ? "queued" : state, attempt, createdAt },
    ...{ credential: work.credential, version: work.version },
    ...(failure && { failure: asFailure(failure) }),
    ...(endedAt !== undefined && { endedAt }),
  };
}
