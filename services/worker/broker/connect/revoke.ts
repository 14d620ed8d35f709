import {
  customFetch,
  processRevocationResponse,
  revocationRequest,
  type TokenEndpointResponse,
} from "oauth4webapi";
import { Value } from "typebox/value";
import type {
  ConnectionRevoke,
  ConnectionRevoked,
  ProviderChoice,
} from "../../../shared/broker/connections.ts";
import { RefreshValue } from "../../../shared/broker/grant.ts";
import { type BrokerPolicy, brokerPolicyHash } from "../../../shared/broker/policy.ts";
import { type Provider, providerOf } from "../../../shared/broker/providers.ts";
import { revocationOf } from "../../../shared/broker/revocation.ts";
import { openCredential } from "../../open-credential.ts";
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
  const { name, version, policy, material } = credential;
  const provider = providerToRevoke(policy, choice);
  const context = { org, credential: name, version: String(version), purpose: "broker" } as const;
  const bytes = await openCredential(parts.keys, { ...context, policy: brokerPolicyHash(policy) }, material);
  let text: string;
  try {
    text = Buffer.from(bytes).toString("utf8");
  } finally {
    bytes.fill(0);
  }
  if (policy.grant?.type !== "refresh_token") {
    const secret = await openSecret(parts.keys, org, sealedSecret, provider.token);
    const isEnded = await endGrant(parts, provider, clientId, secret, { access_token: text }, signal);
    return { outcome: isEnded ? "revoked" : "unsupported" };
  }
  const value = parsed(text);
  const { clientId: sealedClient } = policy.grant;
  const tokens = { refresh_token: value.refreshToken };
  const isEnded = await endGrant(parts, provider, sealedClient, value.clientSecret, tokens, signal);
  return { outcome: isEnded ? "revoked" : "unsupported" };
}

function parsed(text: string): RefreshValue {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (Value.Check(RefreshValue, value)) return value;
  throw new UseFailure("unusable_value", "The credential is not a refresh token.");
}
