import { None } from "oauth4webapi";
import type { Grant } from "../../../shared/broker/grant.ts";
import { UseFailure } from "../use-failure.ts";
import { type GrantRun, type Issued, secretBytes, textOf } from "./issued.ts";
import { issuedBy, noClient, requestToken } from "./oauth.ts";

type TokenExchange = Extract<Grant, { type: "token_exchange" }>;

const GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token";

/** RFC 8693. The value is the subject token. */
export async function tokenExchange({
  grant,
  value,
  narrowed,
  exchange,
}: GrantRun<TokenExchange>): Promise<Issued> {
  const subjectToken = textOf(value);
  const client = { ...grant, auth: grant.clientId === undefined ? noClient : None() };
  const { result } = await requestToken(exchange, client, GRANT_TYPE, {
    subject_token: subjectToken,
    subject_token_type: grant.subjectTokenType,
    requested_token_type: ACCESS_TOKEN,
    scope: narrowed.scopes.join(" "),
    audience: grant.audience,
    resource: grant.resource,
  });
  if ("refused" in result) throw result.refused;
  // A refresh token, say, would be another long-lived one.
  if (result.answer.issued_token_type !== ACCESS_TOKEN) {
    throw new UseFailure("answer_unusable", "the provider has issued something other than an access token");
  }
  return {
    ...issuedBy(result.answer, narrowed.scopes, exchange, client),
    secrets: secretBytes(subjectToken),
  };
}
