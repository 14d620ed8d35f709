import { StrongroomError } from "../../../shared/errors.ts";
import { ownerOf, ownerRecords } from "../../../shared/owners.ts";
import { CasConflictError } from "../../../shared/vault/kv.ts";
import type { Platform } from "../../dependencies.ts";
import type { Step } from "../../jobs/workflow.ts";
import type { JobRecord, OrgRecord, Reservation } from "../../registry/records.ts";
import { type Collection, claimKey } from "../../registry/registry.ts";

const CLAIM_TAKEN = "The claim belongs to another organization of this issuer.";

/** The request of a job that creates an organization. */
export function requestOf(job: JobRecord): NonNullable<JobRecord["request"]> {
  if (!job.request) throw new Error(`${job.id}: the job has no request`);
  return job.request;
}

/**
 * Reserves the name and the claim, each with an index record that only one job can create, then creates the owner's
 * record, which only an operator can change from then on, and the organization's record. Fails with `conflict` if
 * another live organization has the name or the claim, and with `issuer_keys_unreachable` if the issuer's keys
 * cannot be fetched.
 */
export const reserve = (platform: Platform): Step => ({
  name: "reserve",

  async do(job) {
    const { name, claim, issuer } = requestOf(job);
    const { names, claims, orgs } = platform.registry;
    await take(names, name, job, `The name ${name} is taken by another organization.`);
    await take(claims, claimKey(issuer.issuer, claim), job, CLAIM_TAKEN);
    const issuerKeys = await platform.issuerKeys(issuer);
    await ownerRecords(platform.vault).create(job.org, ownerOf({ issuer, claim, issuerKeys }));
    const record: OrgRecord = {
      id: job.org,
      name,
      claim,
      issuer,
      state: "initializing",
      job: job.id,
      attempt: 1,
      retiredTokenAccessors: [],
      retiredCertificateSerials: [],
      restart: 0,
      reload: 0,
      createdAt: job.createdAt,
    };
    await unlessThere(orgs.create(job.org, record));
  },

  async undo(job) {
    const { registry } = platform;
    if (await registry.orgs.read(job.org)) {
      await registry.orgs.update(job.org, (record) => ({ ...record, state: "failed" }));
    }
    await release(platform, job.org, requestOf(job));
  },
});

/** Releases the name and the claims that are the organization's own. */
export async function release(
  { registry: { names, claims } }: Platform,
  org: string,
  { name, claim, issuer, formerClaims = [] }: Pick<OrgRecord, "name" | "claim" | "issuer" | "formerClaims">,
): Promise<void> {
  for (const key of [claimKey(issuer.issuer, claim), ...formerClaims]) {
    if ((await claims.read(key))?.value.org === org) await claims.remove(key);
  }
  if ((await names.read(name))?.value.org === org) await names.remove(name);
}

/** Reserves a claim for an organization that may already have it. Throws `conflict` if another has it. */
export async function takeClaim(
  claims: Collection<Reservation>,
  key: string,
  reservation: Reservation,
): Promise<void> {
  await unlessThere(claims.create(key, reservation));
  if ((await claims.read(key))?.value.org !== reservation.org)
    throw new StrongroomError("conflict", CLAIM_TAKEN);
}

async function take(
  index: Collection<Reservation>,
  key: string,
  job: JobRecord,
  taken: string,
): Promise<void> {
  await unlessThere(index.create(key, { org: job.org, job: job.id }));
  if ((await index.read(key))?.value.job !== job.id) throw new StrongroomError("conflict", taken);
}

async function unlessThere(creation: Promise<unknown>): Promise<void> {
  try {
    await creation;
  } catch (error) {
    if (!(error instanceof CasConflictError)) throw error;
  }
}
