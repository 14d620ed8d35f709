import type { Grant } from "../../../shared/broker/grant.ts";
import { signAssertion } from "./assertion.ts";
import type { GrantRun, Issued } from "./issued.ts";
import { issuedBy, noClient, requestToken } from "./oauth.ts";

type JwtBearer = Extract<Grant, { type: "jwt_bearer" }>;

const GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ASSERTION_SECONDS = 240;

/** RFC 7523, 2.1. The value is a private key, which is never sent. */
export async function jwtBearer({
  grant,
  value,
  narrowed,
  exchange,
  now,
}: GrantRun<JwtBearer>): Promise<Issued> {
  const { issuer, subject = issuer } = grant;
  const assertion = await signAssertion(value, {
    ...{ ...grant, subject, lifetimeSeconds: ASSERTION_SECONDS, now },
  });
  const client = { endpoint: grant.endpoint, auth: noClient };
  const scope = narrowed.scopes.join(" ");
  const { result } = await requestToken(exchange, client, GRANT_TYPE, { assertion, scope });
  if ("refused" in result) throw result.refused;
  return { ...issuedBy(result.answer, narrowed.scopes, exchange, client), secrets: [] };
}
