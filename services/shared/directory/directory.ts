import { type Static, Type } from "typebox";
import { Issuer, OrgClaim, OrgId } from "../org.ts";
import { KeyDigest } from "../server-key.ts";

/**
 * Which organization a verified pair (issuer, claim) belongs to and where its Vault listens. Published as
 * a compact JWS (ES256, `typ: strongroom-directory+jws`, payload this object as JSON) signed by the internal
 * Vault's transit key `directory`.
 */
export const Directory = Type.Object(
  {
    /** Grows by one with each change; a gateway refuses an older one than it has. */
    version: Type.Integer({ minimum: 1 }),
    issuedAt: Type.String(),
    issuers: Type.Array(Issuer),
    orgs: Type.Array(
      Type.Object(
        {
          id: OrgId,
          issuer: Type.String(),
          claim: OrgClaim,
          address: Type.String({ pattern: "^https://" }),
          /** The key that its Vault's certificate has to be of. Once it is there, it never changes. */
          serverKey: Type.Optional(KeyDigest),
          /** What the operator signed who last gave it to this pair ({@link Ownership}). */
          statement: Type.Optional(Type.String()),
          /** Whether Vault's own tokens are taken for it, from machines that have no JWT. */
          machineTokens: Type.Optional(Type.Literal(true)),
        },
        { additionalProperties: false },
      ),
    ),
    /** Ids an operator has deleted. Only a pair whose old id is among them may be given to another id. */
    deleted: Type.Array(OrgId),
  },
  { additionalProperties: false },
);
export type Directory = Static<typeof Directory>;

export const DIRECTORY_TYP = "strongroom-directory+jws";
