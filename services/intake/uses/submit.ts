import { createHash } from "node:crypto";
import type { CreateUse } from "../../shared/api/uses.ts";
import { seal } from "../../shared/envelope/envelope.ts";
import { isPublicKey } from "../../shared/envelope/sealing.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { isAtLeast } from "../../shared/front/levels.ts";
import type { Level } from "../../shared/org.ts";
import { policyHash } from "../../shared/work/destination.ts";
import type { LastUsed } from "../credentials/last-used.ts";
import { loadUsable, type UsableCredential } from "../credentials/load.ts";
import type { IntegrationRecord } from "../credentials/records.ts";
import type { Intake } from "../dependencies.ts";
import { newWorkId } from "../ids.ts";
import type { Jobs } from "../jobs/jobs.ts";
import {
  type JobRecord,
  queuedPartition,
  requestKey,
  type StoredRequest,
  type UseWork,
} from "../jobs/records.ts";
import type { Key, Write } from "../store/store.ts";
import type { InFlight } from "./in-flight.ts";
import { useMessage } from "./messages.ts";
import { destinationRequest } from "./request.ts";

const RESULT_SECONDS = 3_600;
const TIMEOUT_SECONDS = 300;
const REMEMBER_KEY_SECONDS = 24 * 3600;
/** The store's limit for an item, less what else is in it. */
const MOST_REQUEST_TEXT = 370 * 1024;

export interface Submission {
  org: string;
  /** Who may use which credentials. */
  level: Level;
  use: CreateUse;
  /** Once for the same key of the same subject. */
  once?: { subject: string; key: string };
  /** The schedule that it is for, with the id of its slot's job and what is written with the job. */
  slot?: { schedule: string; id: string; writes: Write[] };
}

/** What submitting uses needs. */
export interface UseParts {
  intake: Intake;
  jobs: Jobs;
  inFlight: InFlight;
  lastUsed: LastUsed;
}

/** The credential that a use needs. Throws `not_found`, `conflict` for one of the broker, `forbidden`, `credential_disabled`. */
export async function usableCredential(
  { store }: Pick<Intake, "store">,
  org: string,
  level: Level,
  name: string,
): Promise<UsableCredential<IntegrationRecord>> {
  const usable = await loadUsable(store, org, name);
  if (!usable) throw new StrongroomError("not_found", "There is no such credential.");
  const { record } = usable;
  if (record.purpose !== "integration") {
    const detail = `No job uses a credential of purpose ${record.purpose}. Send the request to /v1/use/${name}/….`;
    throw new StrongroomError("conflict", detail);
  }
  if (!isAtLeast(level, record.level)) {
    throw new StrongroomError("forbidden", `Using this credential needs the level ${record.level} or above.`);
  }
  if (record.disabled) {
    throw new StrongroomError("credential_disabled", "The credential is disabled. Enable it to use it.");
  }
  return { ...usable, record };
}

/**
 * Records a use together with the intention to send it, in one write, and sends it. The same request with the same key
 * returns the same job. Undefined if `slot` was taken by another intake. Throws what {@link usableCredential} and
 * `destinationRequest` throw, `conflict`, `too_many_requests`, KeyProviderError.
 */
export async function submitUse(
  parts: UseParts,
  submission: Submission,
): Promise<JobRecord<UseWork> | undefined> {
  const { intake, jobs, inFlight, lastUsed } = parts;
  const { store } = intake;
  const { org, level, use, slot } = submission;
  const once = onceOf(submission);
  const earlier = once && (await earlierJob(parts, org, once));
  if (earlier) return earlier;

  const usable = await usableCredential(intake, org, level, use.credential);
  const request = destinationRequest(use.request, usable.record.destination);
  await checkResultKey(use);
  await inFlight.admit(org);
  const job = jobs.create({
    ...{ org, kind: "integration", id: slot?.id ?? newWorkId(intake.now()) },
    timeoutSeconds: use.timeoutSeconds ?? TIMEOUT_SECONDS,
    work: workOf(use, usable, slot?.schedule),
  });
  const sealed: StoredRequest = { envelope: await sealRequest(intake, job, usable, request) };
  const isWritten = await store.write([
    ...jobs.writes(job, 0),
    { ...requestKey(job), body: sealed, expiresAt: job.expiresAt },
    { partition: queuedPartition(org), sort: job.id, body: {}, expiresAt: job.expiresAt },
    ...(once ? [rememberWrite(intake, once, job.id)] : []),
    ...(slot?.writes ?? []),
  ]);
  if (!isWritten) {
    const other = once && (await earlierJob(parts, org, once));
    if (other || slot) return other;
    throw new StrongroomError("conflict", "The job could not be recorded. Try again.");
  }
  lastUsed.record(org, use.credential);
  await jobs.send(job, useMessage(job, usable, sealed.envelope));
  return job;
}

function workOf(
  use: CreateUse,
  { record }: UsableCredential<IntegrationRecord>,
  schedule: string | undefined,
): UseWork {
  return {
    ...{ type: "request", credential: record.name, version: record.version, level: record.level },
    ...{ method: use.request.method, path: use.request.path },
    ...(schedule !== undefined && { schedule }),
    ...(use.sealResultTo !== undefined && { sealResultTo: use.sealResultTo }),
    resultSeconds: use.resultSeconds ?? RESULT_SECONDS,
    timeoutSeconds: use.timeoutSeconds ?? TIMEOUT_SECONDS,
  };
}

/** The envelope of a request, which only the worker opens, with this job and this version of the credential. */
async function sealRequest(
  { keys }: Pick<Intake, "keys">,
  { id, org }: JobRecord,
  { record }: UsableCredential<IntegrationRecord>,
  request: object,
): Promise<string> {
  const { name: credential, version, purpose, destination } = record;
  const context = {
    org,
    credential,
    version: String(version),
    purpose,
    policy: policyHash(destination),
    job: id,
  };
  const plaintext = new TextEncoder().encode(JSON.stringify(request));
  const envelope = Buffer.from(await seal(keys.integration, context, plaintext)).toString("base64");
  plaintext.fill(0);
  if (envelope.length > MOST_REQUEST_TEXT) {
    throw new StrongroomError("body_too_large", "The request is too large with its headers.");
  }
  return envelope;
}

async function checkResultKey({ sealResultTo }: CreateUse): Promise<void> {
  if (sealResultTo === undefined) return;
  const bytes = new Uint8Array(Buffer.from(sealResultTo, "base64url"));
  if (Buffer.from(bytes).toString("base64url") === sealResultTo && (await isPublicKey(bytes))) return;
  const message = "is not an uncompressed P-256 point in base64url";
  throw new StrongroomError("invalid_value", `The key that the result is to be sealed to ${message}.`, {
    errors: [{ pointer: "/body/sealResultTo", message }],
  });
}

/** A key under which a job was or will be submitted. */
interface Once {
  item: Key;
  digest: string;
}

interface Remembered {
  digest: string;
  job: string;
}

function onceOf({ org, once, use }: Submission): Once | undefined {
  if (!once) return undefined;
  const sort = digestOf([once.subject, once.key]);
  return { item: { partition: `org/${org}/idempotency`, sort }, digest: digestOf(use) };
}

const digestOf = (value: unknown): string =>
  createHash("sha256").update(JSON.stringify(value)).digest("base64url");

/** The job that was submitted under the key. Throws `conflict` if that was for another request. */
async function earlierJob(
  { intake: { store }, jobs }: UseParts,
  org: string,
  once: Once,
): Promise<JobRecord<UseWork> | undefined> {
  const found = await store.get<Remembered>(once.item);
  if (!found) return undefined;
  if (found.body.digest !== once.digest) {
    throw new StrongroomError("conflict", "This Idempotency-Key was used for another request.");
  }
  return (await jobs.get<UseWork>({ org, kind: "integration", id: found.body.job }))?.body;
}

const rememberWrite = ({ now }: Pick<Intake, "now">, { item, digest }: Once, job: string): Write => ({
  ...item,
  body: { digest, job } satisfies Remembered,
  expect: 0,
  expiresAt: Math.floor(now() / 1000) + REMEMBER_KEY_SECONDS,
});
