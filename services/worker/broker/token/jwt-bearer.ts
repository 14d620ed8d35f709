import type { Grant } from "../../../shared/broker/grant.ts";
import { signedJwt } from "../inject/jwt.ts";
import type { GrantRun, Issued } from "./issued.ts";
import { issuedBy, noClient, requestToken } from "./oauth.ts";

type JwtBearer = Extract<Grant, { type: "jwt_bearer" }>;

const GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ASSERTION_SECONDS = 270;
/** The provider's clock may be behind. */
const BACKDATED_MS = 30_000;

/** RFC 7523, 2.1. The value is a private key, which is never sent. */
export async function jwtBearer({
  grant,
  value,
  narrowed,
  exchange,
  now,
}: GrantRun<JwtBearer>): Promise<Issued> {
  const { issuer, subject = issuer, audience } = grant;
  const claims = { iss: issuer, sub: subject, aud: audience };
  const signed = { ...grant, claims, lifetimeSeconds: ASSERTION_SECONDS };
  const assertion = await signedJwt(signed, value, now - BACKDATED_MS);
  const client = { endpoint: grant.endpoint, auth: noClient };
  const scope = narrowed.scopes.join(" ");
  const { result } = await requestToken(exchange, client, GRANT_TYPE, { assertion, scope });
  if ("refused" in result) throw result.refused;
  return { ...issuedBy(result.answer, narrowed.scopes, exchange, client), secrets: [] };
}
