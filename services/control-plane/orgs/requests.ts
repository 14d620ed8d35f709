import { setTimeout as sleep } from "node:timers/promises";
import { ORG_STATES } from "../../shared/api/org-states.ts";
import type { CreateOrg } from "../../shared/api/orgs.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { type Issuer, newOrgId } from "../../shared/org.ts";
import { CasConflictError } from "../../shared/vault/kv.ts";
import { orgRecord, type Platform } from "../dependencies.ts";
import type { Engine } from "../jobs/engine.ts";
import { isEnded, newJob, withStep } from "../jobs/progress.ts";
import { type JobRecord, newJobId, type OrgRecord } from "../registry/records.ts";
import { idempotencyKey, sha256 } from "../registry/registry.ts";
import { createWorkflow } from "./create.ts";
import { deleteWorkflow } from "./delete.ts";
import { usableKeys } from "./recovery-keys.ts";
import { reserve } from "./steps/reserve.ts";

/** Who asks, and their own name for the request, if they gave one. */
export interface Caller {
  subject: string;
  idempotencyKey: string | undefined;
}

/**
 * Starts the onboarding of an organization, its name and claim reserved, and gives the job. The same request
 * under the same key gives the job it gave before. Throws `conflict`, `invalid_request` (no such issuer),
 * `recovery_key_unusable`; then nothing has begun.
 */
export async function requestCreation(
  platform: Platform,
  engine: Engine,
  body: CreateOrg,
  caller: Caller,
): Promise<JobRecord> {
  const { registry, now, seam } = platform;
  const key =
    caller.idempotencyKey === undefined ? undefined : idempotencyKey(caller.subject, caller.idempotencyKey);
  const digest = sha256(JSON.stringify([body.name, body.claim, body.issuer, body.recoveryPgpKeys]));
  const known = key && (await recall(platform, key, digest));
  if (known) return known;

  const issuer = findIssuer(platform, body.issuer);
  const recoveryPgpKeys = body.recoveryPgpKeys
    ? await usableKeys(body.recoveryPgpKeys)
    : platform.recoveryPgpKeys;
  const steps = createWorkflow(platform).steps.map(({ name }) => name);
  const request = { name: body.name, claim: body.claim, issuer, recoveryPgpKeys };
  const fresh = newJob({ id: newJobId(), kind: "create", org: newOrgId(), request }, steps, now());
  const step = reserve(platform);
  const job = withStep(fresh, step.name, "running", now());
  const version = await registry.jobs.create(job.id, job);
  if (key && !(await remember(platform, key, digest, job.id))) {
    await registry.jobs.remove(job.id);
    return requestCreation(platform, engine, body, caller);
  }
  try {
    await seam("reserve:before");
    await step.do(job);
    await seam("reserve:after");
  } catch (error) {
    await step.undo?.(job);
    if (key) await registry.idempotency.remove(key);
    await registry.jobs.remove(job.id);
    throw error;
  }
  const reserved = withStep(job, step.name, "done", now());
  await registry.jobs.replace(job.id, reserved, version);
  engine.start(job.id);
  return reserved;
}

function findIssuer({ issuers }: Platform, name: string | undefined): Issuer {
  const found = name === undefined ? issuers[0] : issuers.find(({ issuer }) => issuer === name);
  if (!found) throw new StrongroomError("invalid_request", "The issuer is not one of the configured ones.");
  return found;
}

/** Remembers what a key was used for; false where it was used before. */
async function remember({ registry }: Platform, key: string, body: string, job: string): Promise<boolean> {
  try {
    await registry.idempotency.create(key, { body, job });
    return true;
  } catch (error) {
    if (error instanceof CasConflictError) return false;
    throw error;
  }
}

const RECALL_TRIES = 100;
const RECALL_WAIT_MS = 50;

/**
 * The job that a key was used for, once it is known that it may go on: a request at the same time may still
 * meet a conflict. Undefined where the key is free.
 */
async function recall({ registry }: Platform, key: string, body: string): Promise<JobRecord | undefined> {
  for (let tries = 0; tries < RECALL_TRIES; tries++) {
    const known = (await registry.idempotency.read(key))?.value;
    if (!known) return undefined;
    if (known.body !== body) {
      throw new StrongroomError("conflict", "The Idempotency-Key was used for another request.");
    }
    const job = (await registry.jobs.read(known.job))?.value;
    if (job && job.steps[0]?.state !== "running") return job;
    await sleep(RECALL_WAIT_MS);
  }
  throw new StrongroomError(
    "conflict",
    "A request with this Idempotency-Key is still being taken up. Repeat it.",
  );
}

/**
 * Starts the deletion of an organization, and gives the job; the one under way where there is one. Throws
 * `not_found` and `conflict`, where there is nothing to delete (yet).
 */
export async function requestDeletion(platform: Platform, engine: Engine, org: string): Promise<JobRecord> {
  const { registry, now } = platform;
  const record = await orgRecord(platform, org);
  refuseDeletion(record);
  const last = (await registry.jobs.read(record.job))?.value;
  if (record.state === "deleting" && last && !isEnded(last)) return last;

  const steps = deleteWorkflow(platform).steps.map(({ name }) => name);
  const job = newJob({ id: newJobId(), kind: "delete", org }, steps, now());
  await registry.jobs.create(job.id, job);
  const taken = await registry.orgs.update(org, (current) =>
    current.job === record.job ? { ...current, state: "deleting", job: job.id } : current,
  );
  if (taken.job !== job.id) {
    await registry.jobs.remove(job.id);
    return requestDeletion(platform, engine, org);
  }
  engine.start(job.id);
  return job;
}

function refuseDeletion({ state }: OrgRecord): void {
  if (ORG_STATES[state].deletable) return;
  if (state === "deleted") throw new StrongroomError("not_found", "The organization was deleted.");
  const why =
    state === "failed"
      ? "Onboarding failed and was undone: there is nothing to delete."
      : "The organization is being onboarded. Wait for its job to end.";
  throw new StrongroomError("conflict", why);
}
