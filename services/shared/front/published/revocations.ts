import { type Static, type TProperties, Type } from "typebox";
import { Issuer, OrgClaim } from "../../org.ts";

const Seconds = Type.Integer({ minimum: 0, maximum: 2 ** 40, description: "Seconds since 1970" });
/** As long as a claim may be. */
const Claim = Type.String({ minLength: 1, maxLength: 512 });
const Ends = { ends: Seconds };

/** SHA-256 of a JWT's signing input, base64url: one JWT can be spelled in several ways that verify. */
export const TokenDigest = Type.String({ pattern: "^[A-Za-z0-9_-]{43}$" });

/**
 * Whose tokens they are: an issuer, and an organization by its claim. Not the organization's id, since a token
 * names none: it would be good again if the organization were made anew.
 */
export interface TokenOwner {
  issuer: string;
  claim: string;
}

/**
 * Tokens of one organization that are no longer good: one by its digest, one by its `jti`, or a subject's that
 * were issued (`iat`) up to and with a time. From `ends` on none of them would be good anyway.
 */
export const Revocation = revocationWith({});
export type Revocation = Static<typeof Revocation>;

function revocationWith<More extends TProperties>(more: More) {
  return Type.Union([
    Type.Object({ token: TokenDigest, ...Ends, ...more }, { additionalProperties: false }),
    Type.Object({ tokenId: Claim, ...Ends, ...more }, { additionalProperties: false }),
    Type.Object({ subject: Claim, issuedUntil: Seconds, ...Ends, ...more }, { additionalProperties: false }),
  ]);
}

/** A revocation as it stands, and what lives on in spite of it. */
export const MadeRevocation = revocationWith({
  machineTokens: Type.Optional(
    Type.Object(
      {
        detail: Type.String({ description: "What lives on" }),
        command: Type.String({ description: "What shows or ends it, with an operator's sign-in" }),
      },
      { description: "If the organization has machine tokens", additionalProperties: false },
    ),
  ),
});
export type MadeRevocation = Static<typeof MadeRevocation>;

/** What an operator revokes, the body of `POST /v1/orgs/:id/revocations`: one of the three. */
export const NewRevocation = Type.Union([
  Type.Object(
    {
      token: Type.String({
        ...TokenDigest,
        description: "A token, by the SHA-256 of its signing input (base64url)",
      }),
    },
    { additionalProperties: false },
  ),
  Type.Object(
    { tokenId: Type.String({ ...Claim, description: "A token, by its `jti`" }) },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      subject: Type.String({ ...Claim, description: "All tokens of a subject (`sub`)" }),
      issuedUntil: Type.Optional(
        Type.Integer({ ...Seconds, description: "Those with an `iat` up to this; now by default" }),
      ),
    },
    { additionalProperties: false },
  ),
]);
export type NewRevocation = Static<typeof NewRevocation>;

/** The setting of this kind that gateways and the control plane have alike. */
export const maxTokenLifetime = Type.Integer({
  minimum: 60,
  maximum: 7 * 24 * 3600,
  default: 3600,
  description:
    "Tokens that live longer are refused: a stolen one is good until its end, or is revoked until then",
});

/**
 * All revocations, published as a compact JWS (ES256, `typ: strongroom-revocations+jws`, payload this object as
 * JSON) signed by the same key as the directory.
 */
export const RevocationList = Type.Object(
  {
    /** Grows with each change; a gateway refuses an older one than it has. */
    version: Type.Integer({ minimum: 1 }),
    /** How long entries by `jti` and by subject stay: a gateway may accept no token that lives for longer. */
    maxTokenLifetimeSeconds: Type.Integer({ minimum: 1 }),
    /** By {@link TokenOwner}. */
    orgs: Type.Array(
      Type.Object(
        { issuer: Issuer.properties.issuer, claim: OrgClaim, revocations: Type.Array(Revocation) },
        { additionalProperties: false },
      ),
    ),
  },
  { additionalProperties: false },
);
export type RevocationList = Static<typeof RevocationList>;

export const REVOCATIONS_TYP = "strongroom-revocations+jws";
