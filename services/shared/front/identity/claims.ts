import type { Issuer } from "../../org.ts";
import { TokenRefused } from "./refused.ts";

/** The claims used from a verified token. Times are seconds since 1970. */
export interface Claims {
  subject: string;
  /** The token's own id (`jti`), if the issuer sets one. */
  tokenId: string | undefined;
  /** The identity provider's id for the organization; undefined if the token has none. */
  org: string | undefined;
  groups: string[];
  permissions: string[];
  issuedAt: number;
  expiresAt: number;
}

/** Auth0's claim for an operator's permissions. */
const PERMISSIONS_CLAIM = "permissions";

const MAX_TEXT_LENGTH = 512;
const MAX_LIST_LENGTH = 256;

/**
 * Checks the claims of a token with a verified signature: audience, subject, times without leeway, a lifetime of at
 * most `maxLifetimeSeconds`, and the type of each claim that is used. `now` is in seconds and may have a fraction.
 * Throws {@link TokenRefused}.
 */
export function checkClaims(
  payload: Record<string, unknown>,
  issuer: Issuer,
  now: number,
  maxLifetimeSeconds: number,
): Claims {
  const { aud, sub, iat, exp, nbf, jti } = payload;

  const audiences = typeof aud === "string" ? [aud] : aud;
  if (!isTextList(audiences) || !audiences.includes(issuer.audience)) throw new TokenRefused("audience");
  if (!isText(sub)) throw new TokenRefused("subject");
  if (jti !== undefined && !isText(jti)) throw new TokenRefused("token_id");

  if (!Number.isSafeInteger(exp) || !Number.isSafeInteger(iat)) throw new TokenRefused("times_missing");
  const expiresAt = exp as number;
  const issuedAt = iat as number;
  if (now >= expiresAt) throw new TokenRefused("expired");
  if (issuedAt > now) throw new TokenRefused("issued_in_future");
  if (nbf !== undefined && !(typeof nbf === "number" && nbf <= now)) throw new TokenRefused("not_yet_valid");
  if (expiresAt - issuedAt > maxLifetimeSeconds) throw new TokenRefused("lifetime_too_long");

  const org = payload[issuer.orgClaim];
  if (org !== undefined && !isText(org)) throw new TokenRefused("org_claim");
  const groups = payload[issuer.groupsClaim] ?? [];
  if (!isTextList(groups)) throw new TokenRefused("groups_claim");
  const permissions = payload[PERMISSIONS_CLAIM] ?? [];
  if (!isTextList(permissions)) throw new TokenRefused("permissions_claim");

  return { subject: sub, tokenId: jti, org, groups, permissions, issuedAt, expiresAt };
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= MAX_TEXT_LENGTH && value.isWellFormed();
}

function isTextList(value: unknown): value is string[] {
  return Array.isArray(value) && value.length <= MAX_LIST_LENGTH && value.every(isText);
}
