import {
  customFetch,
  processRevocationResponse,
  revocationRequest,
  type TokenEndpointResponse,
} from "oauth4webapi";
import type {
  ConnectionRevoke,
  ConnectionRevoked,
  ProviderChoice,
} from "../../../shared/broker/connections.ts";
import type { BrokerPolicy } from "../../../shared/broker/policy.ts";
import { type Provider, providerOf } from "../../../shared/broker/providers.ts";
import { revocationOf } from "../../../shared/broker/revocation.ts";
import { openSealed } from "../sealed-credential.ts";
import { textOf } from "../token/issued.ts";
import { refreshValueOf } from "../token/refresh-token.ts";
import { UseFailure } from "../use-failure.ts";
import type { ConnectParts } from "./begin.ts";
import { clientAuthOf, openSecret } from "./client-secret.ts";
import { metadataOf } from "./provider.ts";
import { providerFailure, providerFetch } from "./provider-fetch.ts";

type Tokens = Partial<Pick<TokenEndpointResponse, "access_token" | "refresh_token">>;

/**
 * Ends a grant at its provider, by its refresh token or, if there is none, its access token. False if the provider has no
 * way. Throws UseFailure.
 */
export async function endGrant(
  { exchange }: Pick<ConnectParts, "exchange">,
  provider: Provider,
  clientId: string,
  secret: string | undefined,
  { refresh_token: refreshToken, access_token: accessToken }: Tokens,
  signal: AbortSignal,
): Promise<boolean> {
  const { revocation } = provider;
  const token = refreshToken ?? accessToken;
  if (!revocation || token === undefined) return false;
  const endpoint = revocation.endpoint.replace("{client}", encodeURIComponent(clientId));
  const ask = providerFetch(exchange, [endpoint], signal);
  try {
    if (revocation.type === "rfc7009") {
      const [as, client] = [metadataOf(provider), { client_id: clientId }];
      const additionalParameters = { token_type_hint: refreshToken ? "refresh_token" : "access_token" };
      const options = { [customFetch]: ask, additionalParameters };
      const response = await revocationRequest(as, client, clientAuthOf(provider, secret), token, options);
      await processRevocationResponse(response);
      return true;
    }
    // These revoke access tokens alone.
    if (accessToken === undefined) return false;
    if (revocation.type === "slack") {
      return isDone(await ask(endpoint, { method: "POST", headers: bearer(accessToken), body: "" }), [200]);
    }
    if (secret === undefined) return false;
    const body = JSON.stringify({ access_token: accessToken });
    // 404: it is none any more.
    return isDone(
      await ask(endpoint, { method: "DELETE", headers: basic(clientId, secret), body }),
      [204, 404],
    );
  } catch (error) {
    throw providerFailure(error);
  }
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}`, accept: "application/json" });
const basic = (user: string, password: string) => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
  "content-type": "application/json",
  accept: "application/vnd.github+json",
});

function isDone({ status }: Response, wanted: number[]): boolean {
  if (wanted.includes(status)) return true;
  throw new UseFailure("provider_refused", `The provider did not revoke it: it answered ${status}.`, {
    status,
  });
}

/** The provider of a connection's credential, with the revocation that its sealed policy allows. */
function providerToRevoke(policy: BrokerPolicy, choice: ProviderChoice): Provider {
  const { grant, origin } = policy;
  const revocation = revocationOf(policy, choice);
  if (typeof choice === "string" && !grant && revocation) return providerOf(choice);
  if (grant?.type !== "refresh_token" || !revocation) {
    throw new UseFailure("not_allowed", "The credential is not that provider's.", { part: "provider" });
  }
  const { endpoint, clientAuth } = grant;
  return {
    ...{
      title: "",
      sendsIssuer: false,
      authorization: endpoint,
      token: endpoint,
      pkce: "always",
      revocation,
    },
    ...{ clientAuth: clientAuth === "post" ? "post" : "basic", scopeSeparator: " ", kind: "refresh_token" },
    ...{ narrows: false, api: { origin, hosts: [] } },
  };
}

/** Revokes the grant of a connection at its provider. Throws UseFailure, EnvelopeRefused, KeyProviderError. */
export async function revokeConnection(
  parts: ConnectParts,
  { org, credential, provider: choice, clientId, secret: sealedSecret }: ConnectionRevoke,
  signal: AbortSignal,
): Promise<ConnectionRevoked> {
  const { grant } = credential.policy;
  const provider = providerToRevoke(credential.policy, choice);
  const value = await openSealed(parts.keys, org, credential);
  let isEnded: boolean;
  try {
    if (grant?.type === "refresh_token") {
      const { refreshToken, clientSecret } = refreshValueOf(value);
      const tokens = { refresh_token: refreshToken };
      isEnded = await endGrant(parts, provider, grant.clientId, clientSecret, tokens, signal);
    } else {
      const secret = await openSecret(parts.keys, org, sealedSecret, provider.token);
      isEnded = await endGrant(parts, provider, clientId, secret, { access_token: textOf(value) }, signal);
    }
  } finally {
    value.fill(0);
  }
  return { outcome: isEnded ? "revoked" : "unsupported" };
}
