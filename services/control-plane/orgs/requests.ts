import { ORG_STATES } from "../../shared/api/org-states.ts";
import type { CreateOrg } from "../../shared/api/orgs.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { type Issuer, newOrgId } from "../../shared/org.ts";
import { orgRecord, type Platform } from "../dependencies.ts";
import type { Engine } from "../jobs/engine.ts";
import { onceFor } from "../jobs/idempotency.ts";
import { isEnded } from "../jobs/job-state.ts";
import type { JobRecord, OrgRecord } from "../registry/records.ts";
import { usableKeys } from "./recovery-keys.ts";

/** The caller, and its `Idempotency-Key`, if any. */
export interface Caller {
  subject: string;
  idempotencyKey: string | undefined;
}

/**
 * Reserves an organization's name and claim, starts its onboarding, and returns the job. The same request with the
 * same key returns the same job. Throws `conflict`, `invalid_request` (no such issuer), `recovery_key_unusable`;
 * then nothing has started.
 */
export async function requestCreation(
  platform: Platform,
  engine: Engine,
  { name, claim, issuer: wanted, recoveryPgpKeys: brought }: CreateOrg,
  { subject, idempotencyKey }: Caller,
): Promise<JobRecord> {
  const once =
    idempotencyKey === undefined
      ? undefined
      : onceFor(subject, idempotencyKey, [name, claim, wanted, brought]);
  const issuer = findIssuer(platform, wanted);
  const recoveryPgpKeys = brought ? await usableKeys(brought) : platform.recoveryPgpKeys;
  return engine.submit("create", {
    org: newOrgId(),
    request: { name, claim, issuer, recoveryPgpKeys },
    once,
  });
}

function findIssuer({ issuers }: Platform, name: string | undefined): Issuer {
  const found = name === undefined ? issuers[0] : issuers.find(({ issuer }) => issuer === name);
  if (!found) throw new StrongroomError("invalid_request", "The issuer is not configured.");
  return found;
}

/**
 * Starts the deletion of an organization, and returns its job, or the one already running. Throws `not_found` if it
 * is already deleted, and `conflict` if it cannot be deleted (yet).
 */
export async function requestDeletion(platform: Platform, engine: Engine, org: string): Promise<JobRecord> {
  const record = await orgRecord(platform, org);
  refuseDeletion(record);
  const last = (await platform.registry.jobs.read(record.job))?.value;
  if (record.state === "deleting" && last && !isEnded(last)) return last;
  try {
    return await engine.submit("delete", { org });
  } catch (error) {
    // Another request was first.
    const current = (await orgRecord(platform, org)).job;
    if (current === record.job || !(error instanceof StrongroomError)) throw error;
    return requestDeletion(platform, engine, org);
  }
}

function refuseDeletion({ state }: OrgRecord): void {
  if (ORG_STATES[state].deletable) return;
  if (state === "deleted") throw new StrongroomError("not_found", "The organization is already deleted.");
  const why =
    state === "failed"
      ? "Onboarding failed and was undone: there is nothing to delete."
      : "The organization is being onboarded. Wait for its job to end.";
  throw new StrongroomError("conflict", why);
}
