import type { KeyObject } from "node:crypto";
import { type Static, Type } from "typebox";
import { Issuer, OrgClaim, OrgId } from "../org.ts";
import { readSigned } from "../signed-document.ts";

/**
 * An operator's statement of whose tokens an organization's Vault takes. Passed on as a compact JWS (ES256, `typ:
 * strongroom-ownership+jws`, payload this object as JSON).
 */
export const Ownership = Type.Object(
  {
    org: OrgId,
    issuer: Issuer.properties.issuer,
    claim: OrgClaim,
    /** Version of the owner's record that it was made for: a later statement has a higher one. */
    serial: Type.Integer({ minimum: 1 }),
  },
  { additionalProperties: false },
);
export type Ownership = Static<typeof Ownership>;

export const OWNERSHIP_TYP = "strongroom-ownership+jws";

const KIND = { typ: OWNERSHIP_TYP, schema: Ownership, refuse: (reason: string) => new Error(reason) };

/**
 * The serial of a statement that is signed by the key and says exactly this of exactly this organization; 0 for
 * any other, and for none.
 */
export async function ownershipSerial(
  statement: string | undefined,
  key: KeyObject,
  { id, issuer, claim }: { id: string; issuer: string; claim: string },
): Promise<number> {
  if (statement === undefined) return 0;
  const said = await readSigned(statement, key, KIND).catch(() => undefined);
  return said?.org === id && said.issuer === issuer && said.claim === claim ? said.serial : 0;
}
