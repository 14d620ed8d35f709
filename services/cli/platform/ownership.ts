import type { OrgView } from "../../shared/api/orgs.ts";
import {
  type Admitted,
  keyDigests,
  type Owner,
  ownerDifferences,
  ownerRecords,
} from "../../shared/owners.ts";
import type { VaultClient } from "../../shared/vault/client.ts";
import type { Versioned } from "../../shared/vault/kv.ts";
import { Failure } from "../failure.ts";

type Org = Pick<OrgView, "id" | "name">;

/**
 * Refuses a configuration that would give access to anyone but the organization's owner. The operator's login
 * reads the owner from the internal Vault, because the control plane can write the registry, from which the
 * configuration comes. Failure `conflict`.
 */
export async function refuseStrangers(signer: VaultClient, org: Org, admitted: Admitted): Promise<void> {
  const { value } = await ownerRecord(signer, org);
  const differences = ownerDifferences(value, admitted);
  if (differences.length === 0) return;
  const isKeys = differences.every((each) => each.startsWith("the issuer's key "));
  throw new Failure(
    "conflict",
    `${org.name} was not changed. Others than its owner would get access: ${differences.join("; ")}`,
    isKeys
      ? `If its issuer has new keys, run: strongroom issuer rotate --org ${org.name}`
      : `If nobody here changed that, someone else is using the control plane's login. If the change is intended, run: strongroom org reassign ${org.name}`,
  );
}

/**
 * Adds keys (PEM) to the owner's record or, with `finish`, replaces the keys there. Failure `conflict` if the
 * organization belongs to another issuer.
 */
export async function admitKeys(
  signer: VaultClient,
  org: Org,
  issuer: string,
  pems: string[],
  { finish }: { finish: boolean },
): Promise<void> {
  const { value, version } = await ownerRecord(signer, org);
  if (value.issuer.issuer !== issuer) {
    throw new Failure(
      "conflict",
      `The tokens of ${org.name}'s owner come from ${value.issuer.issuer}, not ${issuer}`,
    );
  }
  const keys = finish ? keyDigests(pems) : [...new Set([...value.keys, ...keyDigests(pems)])].sort();
  if (keys.join() !== value.keys.join())
    await ownerRecords(signer).replace(org.id, { ...value, keys }, version);
}

async function ownerRecord(signer: VaultClient, { id, name }: Org): Promise<Versioned<Owner>> {
  const found = await ownerRecords(signer).read(id);
  if (found) return found;
  throw new Failure(
    "conflict",
    `${name} has no owner's record: it was created before owners were recorded`,
    `Record its owner: strongroom org reassign ${name}`,
  );
}
