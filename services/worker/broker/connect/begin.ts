import {
  calculatePKCECodeChallenge,
  generateRandomCodeVerifier,
  generateRandomNonce,
  generateRandomState,
} from "oauth4webapi";
import type { ConnectionBegin, ConnectionBegun } from "../../../shared/broker/connections.ts";
import type { Provider } from "../../../shared/broker/providers.ts";
import { isOwnRedirect, isRedirect } from "../../../shared/broker/redirect.ts";
import type { KeyProvider } from "../../../shared/envelope/key-provider.ts";
import type { Exchange } from "../../outbound/exchange.ts";
import { UseFailure } from "../use-failure.ts";
import { expiry, type Flow, sealFlow } from "./flow.ts";
import { asProvider, findProvider } from "./provider.ts";

/** What connecting needs of the broker. */
export interface ConnectParts {
  keys: KeyProvider;
  exchange: Exchange;
  /** Milliseconds since 1970. */
  now: () => number;
}

/**
 * Makes state, nonce and verifier of a flow, seals them for the member, and writes the authorization URL. Throws
 * UseFailure, KeyProviderError.
 */
export async function beginConnection(
  { keys, exchange, now }: ConnectParts,
  call: ConnectionBegin,
  member: string,
  signal: AbortSignal,
): Promise<ConnectionBegun> {
  const { id, org, connection, scopes, redirect, clientId, hasSecret, use } = call;
  const known = await findProvider(call.provider, exchange, signal);
  const provider = asProvider(known);
  check(provider, call);
  const isPublic = !hasSecret;
  const flow: Flow = {
    ...{ state: generateRandomState(), provider: known, scopes, redirect, clientId, hasSecret, use },
    ...(scopes.includes("openid") && { nonce: generateRandomNonce() }),
    ...((provider.pkce === "always" || isPublic) && { verifier: generateRandomCodeVerifier() }),
    expiresAt: expiry(now()),
  };
  const envelope = await sealFlow(keys, { org, connection, member, id }, flow);
  return { url: await authorizationUrl(provider, flow), flow: envelope, host: new URL(provider.token).host };
}

function check(provider: Provider, { connection, redirect, scopes, use }: ConnectionBegin): void {
  if (!isRedirect(redirect)) throw refused("The redirect is not one in its one spelling.", "redirect");
  // Without `iss`, only the redirect tells from which provider a response comes (RFC 9700, 4.4.2).
  if (!provider.sendsIssuer && !isOwnRedirect(redirect, connection)) {
    const detail = `The provider does not say who it is (RFC 9207): the redirect must end in /${connection}.`;
    throw refused(detail, "redirect");
  }
  if (scopes.includes("openid") && (provider.issuer === undefined || provider.jwks === undefined)) {
    throw refused("The scope openid needs a provider with OpenID Connect Discovery.", "scopes");
  }
  if (use.origin === undefined && provider.api.origin === "") {
    throw refused("The origin of the provider's API is missing.", "origin");
  }
}

const refused = (detail: string, part: string) => new UseFailure("not_allowed", detail, { part });

async function authorizationUrl(provider: Provider, flow: Flow): Promise<string> {
  const { state, nonce, verifier, scopes, redirect, clientId } = flow;
  const url = new URL(provider.authorization);
  const members = {
    ...{ response_type: "code", client_id: clientId, redirect_uri: redirect, state },
    ...(scopes.length > 0 && { scope: scopes.join(" ") }),
    ...(nonce !== undefined && { nonce }),
    ...(verifier !== undefined && {
      code_challenge: await calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
    }),
    // OpenID Connect: offline access needs consent each time.
    ...(scopes.includes("offline_access") && { prompt: "consent" }),
    ...provider.parameters,
  };
  for (const [name, value] of Object.entries(members)) url.searchParams.set(name, value);
  return url.href;
}
