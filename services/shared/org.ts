import { randomBytes } from "node:crypto";
import { type Static, Type } from "typebox";

/** `o` and 15 characters of a–z2–7 (75 random bits): DNS-safe, independent of the name, never reused. */
export const OrgId = Type.String({ pattern: "^o[a-z2-7]{15}$", description: "An organization's id" });

/** An organization's name, chosen by an operator; unique among live organizations. */
export const OrgName = Type.String({
  pattern: "^[a-z0-9]([a-z0-9-]{1,38})[a-z0-9]$",
  description: "3 to 40 lower-case letters, digits and hyphens",
});

/** The identity provider's own id for the organization, as in its tokens. */
export const OrgClaim = Type.String({
  pattern: "^[A-Za-z0-9_.:-]{1,128}$",
  description: "The identity provider's organization id",
});

const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";

/** A new organization id. */
export function newOrgId(): string {
  let id = "o";
  for (const byte of randomBytes(15)) id += ALPHABET[byte & 31];
  return id;
}

/** The one DNS name in an organization's server certificate, which proves whose Vault it is. */
export const orgServerName = (id: string): string => `${id}.${ORG_DOMAIN}`;

/** The domain of all organizations' server certificates; never resolved, only compared. */
export const ORG_DOMAIN = "org.strongroom.internal";

/**
 * An identity provider that signs organizations' tokens, and the names of its claims. Keys are fetched from `jwksUri`
 * only, never from an address in a token.
 */
export const Issuer = Type.Object(
  {
    issuer: Type.String({ minLength: 1, maxLength: 512, description: "Compared exactly with `iss`" }),
    audience: Type.String({ minLength: 1, maxLength: 512 }),
    jwksUri: Type.String({ pattern: "^https?://", maxLength: 512 }),
    algorithms: Type.Array(Type.Enum(["RS256", "ES256", "EdDSA"]), { minItems: 1, maxItems: 3 }),
    orgClaim: Type.String({
      minLength: 1,
      maxLength: 256,
      description: "Claim that holds the organization id",
    }),
    groupsClaim: Type.String({ minLength: 1, maxLength: 256, description: "Claim that lists writer, admin" }),
  },
  { additionalProperties: false },
);
export type Issuer = Static<typeof Issuer>;

/** The access levels in an organization, lowest first; each is a role of its Vault's `jwt` mount. */
export const LEVELS = ["reader", "writer", "admin"] as const;
export type Level = (typeof LEVELS)[number];
