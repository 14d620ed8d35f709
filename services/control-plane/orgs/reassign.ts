import { isServed } from "../../shared/api/org-states.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { ownerRecords } from "../../shared/owners.ts";
import { orgRecord, type Platform } from "../dependencies.ts";
import { claimKey } from "../registry/registry.ts";
import { takeClaim } from "./steps/reserve.ts";

/**
 * Updates the registry and the directory to the owner's record, which an operator has changed, with the signed
 * statement that gateways verify. The organization keeps its former claims until it is deleted, because gateways
 * remember them. Throws `not_found`, and `conflict` if the organization is not ready, has no owner's record, or the
 * claim belongs to another.
 */
export async function followOwner(platform: Platform, id: string): Promise<void> {
  const { registry, directory, vault } = platform;
  const record = await orgRecord(platform, id);
  const { state, job } = record;
  if (!isServed(record)) throw new StrongroomError("conflict", `The organization is ${state}.`);
  const owner = await ownerRecords(vault).read(id);
  if (!owner) throw new StrongroomError("conflict", "The organization has no owner's record.");
  const { claim, issuer, statement } = owner.value;
  const key = claimKey(issuer.issuer, claim);
  await takeClaim(registry.claims, key, { org: id, job });
  await registry.orgs.update(id, ({ statement: _, ...record }) => {
    const former = new Set(record.formerClaims).add(claimKey(record.issuer.issuer, record.claim));
    former.delete(key);
    const signed = statement === undefined ? {} : { statement };
    return { ...record, claim, issuer, ...signed, ...(former.size > 0 && { formerClaims: [...former] }) };
  });
  await directory.publish();
}
