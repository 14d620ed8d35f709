import { createHash, createPublicKey } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { OWNERSHIP_TYP, type Ownership } from "../directory/ownership.ts";
import { Issuer, OrgClaim } from "../org.ts";
import { type VaultClient, VaultError } from "../vault/client.ts";
import { CasConflictError, kv2 } from "../vault/kv.ts";
import { signCompactJws } from "../vault/transit.ts";
import type { Versioned } from "./registry.ts";

/**
 * The mount of the internal Vault that says who owns an organization. The control plane's login makes a record
 * there, at onboarding, and reads it; only an operator's changes one.
 */
export const OWNERS_MOUNT = "owners";

/** The internal Vault's transit key that signs statements of ownership: the policy `operator` alone may use it. */
export const OWNERSHIP_KEY = "ownership";

/** Makes a statement, as a compact JWS. Takes an operator's login. */
export const signOwnership = (vault: VaultClient, ownership: Ownership): Promise<string> =>
  signCompactJws(vault, OWNERSHIP_KEY, { typ: OWNERSHIP_TYP }, ownership);

/** Who an organization's Vault lets in. */
export const Owner = Type.Object(
  {
    issuer: Issuer,
    claim: OrgClaim,
    /** SHA-256 of each key (SPKI, DER) that the issuer's tokens may be signed by, sorted. */
    keys: Type.Array(Type.String({ pattern: "^[0-9a-f]{64}$" }), { minItems: 1, maxItems: 40 }),
    /** What the operator signed for gateways who wrote this version; none if it was made at onboarding. */
    statement: Type.Optional(Type.String()),
  },
  { additionalProperties: false },
);
export type Owner = Static<typeof Owner>;

/** Who a configuration would let in; keys are PEM. */
export interface Admitted {
  issuer: Issuer;
  claim: string;
  issuerKeys: string[];
}

/** The owner that a configuration amounts to. */
export const ownerOf = ({ issuer, claim, issuerKeys }: Admitted): Owner => ({
  issuer,
  claim,
  keys: keyDigests(issuerKeys),
});

/** Digests of public keys (PEM), in the form and order that {@link Owner} has them. */
export const keyDigests = (pems: string[]): string[] => [...new Set(pems.map(digestOf))].sort();

const digestOf = (pem: string): string =>
  createHash("sha256")
    .update(createPublicKey(pem).export({ type: "spki", format: "der" }))
    .digest("hex");

/** The owners' records, by organization, with the login of the client. */
export function ownerRecords(vault: VaultClient) {
  const store = kv2(vault, OWNERS_MOUNT);
  const read = async (org: string): Promise<Versioned<Owner> | undefined> => {
    const found = await store.read(org);
    if (!found) return undefined;
    if (!Value.Check(Owner, found.data))
      throw new Error(`${OWNERS_MOUNT}/${org}: the record is not an owner's`);
    return { value: found.data, version: found.version };
  };
  return {
    read,

    /** Makes a record. If there is one, it stays; throws unless it says the same of issuer and claim. */
    async create(org: string, owner: Owner): Promise<void> {
      try {
        await store.write(org, owner, 0);
      } catch (error) {
        // If there is one already, writing is refused as the change that it would be.
        const isThere =
          error instanceof CasConflictError || (error instanceof VaultError && error.status === 403);
        const found = isThere && (await read(org));
        if (!found) throw error;
        if (found.value.claim !== owner.claim || found.value.issuer.issuer !== owner.issuer.issuer) {
          throw new Error(`${OWNERS_MOUNT}/${org}: the organization has another owner already`);
        }
      }
    },

    /**
     * Writes a record over the version named, 0 for none, with a statement of it whose serial is the new version.
     * Takes an operator's login.
     */
    async replace(org: string, owner: Owner, version: number): Promise<number> {
      const { issuer, claim } = owner;
      const ownership = { org, issuer: issuer.issuer, claim, serial: version + 1 };
      return store.write(org, { ...owner, statement: await signOwnership(vault, ownership) }, version);
    },
  };
}

/** In which ways a configuration would let in others than the owner, in words; no line if in none. */
export function ownerDifferences(owner: Owner, admitted: Admitted): string[] {
  const lines: string[] = [];
  if (admitted.claim !== owner.claim)
    lines.push(`the claim is ${admitted.claim}, the owner's is ${owner.claim}`);
  for (const member of Object.keys(Issuer.properties) as (keyof Issuer)[]) {
    const [is, was] = [admitted.issuer[member], owner.issuer[member]];
    if (!isDeepStrictEqual(is, was)) lines.push(`the issuer's ${member} is ${is}, the owner's is ${was}`);
  }
  const strange = keyDigests(admitted.issuerKeys).filter((key) => !owner.keys.includes(key));
  lines.push(...strange.map((key) => `the issuer's key ${key.slice(0, 16)} is not one of the owner's`));
  return lines;
}
