import type { Grant } from "../../../shared/broker/grant.ts";
import { type GrantRun, type Issued, secretBytes, textOf } from "./issued.ts";
import { clientAuth, issuedBy, requestToken } from "./oauth.ts";

type ClientCredentials = Extract<Grant, { type: "client_credentials" }>;

/** RFC 6749, 4.4. The value is the client's secret. */
export async function clientCredentials({
  grant,
  value,
  narrowed,
  exchange,
}: GrantRun<ClientCredentials>): Promise<Issued> {
  const secret = textOf(value);
  const client = { ...grant, auth: clientAuth(grant.clientAuth, secret) };
  const { result } = await requestToken(exchange, client, "client_credentials", {
    scope: narrowed.scopes.join(" "),
    audience: grant.audience,
  });
  if ("refused" in result) throw result.refused;
  return {
    ...issuedBy(result.answer, narrowed.scopes, exchange, client),
    secrets: secretBytes(secret),
  };
}
