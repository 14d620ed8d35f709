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
 * Refuses a configuration that would let in others than the organization's owner, as the operator's own login at
 * the internal Vault reads it there: the registry, from which the configuration comes, is the control plane's to
 * write. Failure `conflict`.
 */
export async function refuseStrangers(signer: VaultClient, org: Org, admitted: Admitted): Promise<void> {
  const { value } = await ownerRecord(signer, org);
  const differences = ownerDifferences(value, admitted);
  if (differences.length === 0) return;
  const isKeys = differences.every((each) => each.startsWith("the issuer's key "));
  throw new Failure(
    "conflict",
    `${org.name} was not touched. It would let in others than its owner: ${differences.join("; ")}`,
    isKeys
      ? `If its issuer has new keys: strongroom issuer rotate --org ${org.name}`
      : `If nobody here changed that, somebody else uses the control plane's login. If it is meant: strongroom org reassign ${org.name}`,
  );
}

/**
 * Takes keys (PEM) into the owner's record, beside those there or, with `finish`, in their place. Failure
 * `conflict` if the organization belongs to another issuer.
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
      `${org.name}'s owner has its tokens from ${value.issuer.issuer}, not ${issuer}`,
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
    `Nothing says who owns ${name}: it was made before that was written down`,
    `Write it down: strongroom org reassign ${name}`,
  );
}
