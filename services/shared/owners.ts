import { createHash, createPublicKey } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { OWNERSHIP_TYP, type Ownership } from "./front/published/ownership.ts";
import { Issuer, OrgClaim } from "./org.ts";
import { type VaultClient, VaultError } from "./vault/client.ts";
import { CasConflictError, kv2, type Versioned } from "./vault/kv.ts";
import { signCompactJws } from "./vault/transit.ts";

/**
 * The internal Vault's mount that records who owns an organization. The control plane's login creates a record there,
 * at onboarding, and reads it; only an operator's login changes one.
 */
export const OWNERS_MOUNT = "owners";

/** The internal Vault's transit key that signs statements of ownership: only the policy `operator` may use it. */
export const OWNERSHIP_KEY = "ownership";

/** Signs a statement, as a compact JWS. Requires an operator's login. */
export const signOwnership = (vault: VaultClient, ownership: Ownership): Promise<string> =>
  signCompactJws(vault, OWNERSHIP_KEY, { typ: OWNERSHIP_TYP }, ownership);

/** Whose tokens an organization's Vault admits. */
export const Owner = Type.Object(
  {
    issuer: Issuer,
    claim: OrgClaim,
    /** SHA-256 of each key (SPKI, DER) that may sign the issuer's tokens, sorted. */
    keys: Type.Array(Type.String({ pattern: "^[0-9a-f]{64}$" }), { minItems: 1, maxItems: 40 }),
    /** The statement for gateways, signed by the operator who wrote this version; none for the one from onboarding. */
    statement: Type.Optional(Type.String()),
  },
  { additionalProperties: false },
);
export type Owner = Static<typeof Owner>;

/** Whose tokens a configuration would admit; keys are PEM. */
export interface Admitted {
  issuer: Issuer;
  claim: string;
  issuerKeys: string[];
}

/** The owner that a configuration implies. */
export const ownerOf = ({ issuer, claim, issuerKeys }: Admitted): Owner => ({
  issuer,
  claim,
  keys: keyDigests(issuerKeys),
});

/** Digests of public keys (PEM), in the form and order of {@link Owner}. */
export const keyDigests = (pems: string[]): string[] => [...new Set(pems.map(digestOf))].sort();

const digestOf = (pem: string): string =>
  createHash("sha256")
    .update(createPublicKey(pem).export({ type: "spki", format: "der" }))
    .digest("hex");

/** The owners' records, by organization, accessed with the client's login. */
export function ownerRecords(vault: VaultClient) {
  const store = kv2(vault, OWNERS_MOUNT);
  const read = async (org: string): Promise<Versioned<Owner> | undefined> => {
    const found = await store.read(org);
    if (!found) return undefined;
    if (!Value.Check(Owner, found.data))
      throw new Error(`${OWNERS_MOUNT}/${org}: the record is not a valid owner record`);
    return { value: found.data, version: found.version };
  };
  return {
    read,

    /** Creates a record. An existing one stays; throws unless it has the same issuer and claim. */
    async create(org: string, owner: Owner): Promise<void> {
      try {
        await store.write(org, owner, 0);
      } catch (error) {
        // For an existing record, the write is an update, which the policy denies.
        const isThere =
          error instanceof CasConflictError || (error instanceof VaultError && error.status === 403);
        const found = isThere && (await read(org));
        if (!found) throw error;
        if (found.value.claim !== owner.claim || found.value.issuer.issuer !== owner.issuer.issuer) {
          throw new Error(`${OWNERS_MOUNT}/${org}: the organization already has another owner`);
        }
      }
    },

    /**
     * Replaces the given version of a record (0: there is none), and adds a signed statement whose serial is the new
     * version. Requires an operator's login. Throws {@link CasConflictError}.
     */
    async replace(org: string, owner: Owner, version: number): Promise<number> {
      const { issuer, claim } = owner;
      const ownership = { org, issuer: issuer.issuer, claim, serial: version + 1 };
      return store.write(org, { ...owner, statement: await signOwnership(vault, ownership) }, version);
    },
  };
}

/** The ways in which a configuration would admit anyone but the owner, as text; empty if there is none. */
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
