import { StrongroomError } from "../shared/errors.ts";
import { ownerRecords } from "../shared/registry/owners.ts";
import { claimKey } from "../shared/registry/registry.ts";
import { takeClaim } from "./onboarding/reserve.ts";
import { orgRecord, type Platform } from "./platform.ts";

/**
 * Has the registry and the directory name the owner that the owner's record names, which an operator has changed,
 * with the statement by which gateways believe it.
 * A claim that it had before stays its own until it is deleted: gateways remember whose it was. Throws `not_found`,
 * and `conflict` if the organization is not ready, nothing says who owns it, or the claim is another's.
 */
export async function followOwner(platform: Platform, id: string): Promise<void> {
  const { registry, directory, vault } = platform;
  const { state, job } = await orgRecord(platform, id);
  if (state !== "ready") throw new StrongroomError("conflict", `The organization is ${state}.`);
  const owner = await ownerRecords(vault).read(id);
  if (!owner) throw new StrongroomError("conflict", "Nothing says who owns the organization.");
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
