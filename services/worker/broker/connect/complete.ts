import {
  authorizationCodeGrantRequest,
  type Client,
  customFetch,
  getValidatedIdTokenClaims,
  nopkce,
  processAuthorizationCodeResponse,
  type TokenEndpointResponse,
  validateApplicationLevelSignature,
  validateAuthResponse,
} from "oauth4webapi";
import { Value } from "typebox/value";
import type { ConnectionComplete, ConnectionMade } from "../../../shared/broker/connections.ts";
import { MOST_TOKEN_SECONDS, RefreshValue } from "../../../shared/broker/grant.ts";
import { BrokerPolicy } from "../../../shared/broker/policy.ts";
import type { Provider } from "../../../shared/broker/providers.ts";
import { sealValue } from "../sealed-credential.ts";
import { UseFailure } from "../use-failure.ts";
import type { ConnectParts } from "./begin.ts";
import { clientAuthOf, openSecret } from "./client-secret.ts";
import { callbackParameters, type Flow, openFlow } from "./flow.ts";
import { asProvider, metadataOf } from "./provider.ts";
import { providerFailure, providerFetch } from "./provider-fetch.ts";
import { endGrant } from "./revoke.ts";

const BEARER = { header: "Authorization", format: "Bearer {}" };
/** What a header carries; anything else could not be sent. */
const TOKEN = /^[\x21-\x7e]{8,8000}$/;

/** Opens and checks the flow; nothing is sent. The host is that of the token endpoint, for the receipt. */
export async function checkedFlow(
  { keys, now }: ConnectParts,
  { org, connection, flow: { id, envelope }, secret, callback }: ConnectionComplete,
  member: string,
) {
  const flow = await openFlow(keys, { org, connection, member, id }, envelope, now());
  const provider = asProvider(flow.provider);
  const as = metadataOf(provider);
  const client: Client = { client_id: flow.clientId };
  if ((secret !== undefined) !== flow.hasSecret) {
    throw new UseFailure("malformed", "The client's secret is not as the flow was begun.");
  }
  const parameters = callbackParameters(flow, callback);
  let validated: URLSearchParams;
  try {
    validated = validateAuthResponse(as, client, parameters, flow.state);
  } catch (error) {
    const failure = providerFailure(error);
    if (!(failure instanceof UseFailure) || failure.failure === "callback_refused") throw failure;
    throw new UseFailure("callback_refused", "The authorization response is not this provider's.", {
      part: "iss",
    });
  }
  if (!/^[\x21-\x7e]{1,4096}$/.test(validated.get("code") ?? "")) {
    throw new UseFailure("callback_refused", "The authorization response has no code.", { part: "code" });
  }
  return { flow, provider, as, client, parameters: validated, host: new URL(provider.token).host };
}
export type CheckedFlow = Awaited<ReturnType<typeof checkedFlow>>;

/**
 * Exchanges the code of a checked flow at the pinned token endpoint, and seals what was granted as a version of the
 * connection's credential. A grant that is wider than asked, that cannot be used or sealed, or whose caller is gone by
 * then, is revoked at once. Throws UseFailure, EnvelopeRefused, KeyProviderError.
 */
export async function completeConnection(
  parts: ConnectParts,
  call: ConnectionComplete,
  { flow, provider, as, client, parameters }: CheckedFlow,
  { within, gone }: { within: AbortSignal; gone: AbortSignal },
): Promise<ConnectionMade> {
  const { keys, exchange } = parts;
  const { org, connection, version } = call;
  const secret = await openSecret(keys, org, call.secret, provider.token);
  const allowed = [provider.token, ...(provider.jwks === undefined ? [] : [provider.jwks])];
  const options = { [customFetch]: providerFetch(exchange, allowed, within) };
  let tokens: TokenEndpointResponse | undefined;
  const endGranted = async () =>
    tokens !== undefined &&
    (await endGrant(parts, provider, flow.clientId, secret, tokens, within).catch(() => false));
  try {
    const response = await authorizationCodeGrantRequest(
      ...([as, client, clientAuthOf(provider, secret), parameters, flow.redirect] as const),
      ...([flow.verifier ?? nopkce, options] as const),
    );
    tokens = await processAuthorizationCodeResponse(as, client, response, {
      ...(flow.nonce !== undefined && { expectedNonce: flow.nonce, requireIdToken: true }),
      recognizedTokenTypes: Object.fromEntries(provider.tokenTypes?.map((type) => [type, () => {}]) ?? []),
    });
    if (tokens.id_token !== undefined) await validateApplicationLevelSignature(as, response, options);
  } catch (error) {
    await endGranted();
    throw providerFailure(error);
  }
  const made = gone.aborted ? { refused: "The caller is gone." } : grantedBy(provider, flow, tokens, secret);
  if ("refused" in made) {
    const after = (await endGranted())
      ? "It was revoked."
      : "It could not be revoked here: revoke it at the provider.";
    throw new UseFailure("provider_refused", `${made.refused} ${after}`);
  }
  const { policy, value, scopes } = made;
  const bytes = new TextEncoder().encode(value);
  try {
    const envelope = await sealValue(keys, { org, credential: connection, version, policy }, bytes);
    return { policy, envelope, scopes };
  } catch (error) {
    await endGranted();
    throw error;
  } finally {
    bytes.fill(0);
  }
}

type Granted = { policy: BrokerPolicy; value: string; scopes: string[] } | { refused: string };

/** The policy and the value of the credential that a token answer makes; or why it makes none. */
function grantedBy(
  provider: Provider,
  { scopes: asked, clientId, use }: Flow,
  tokens: TokenEndpointResponse,
  secret: string | undefined,
): Granted {
  const refused = (why: string) => ({ refused: why });
  const nameOf = (scope: string) => provider.scopeNames?.[scope] ?? scope;
  const scopes =
    tokens.scope === undefined
      ? asked.map(nameOf)
      : [...new Set(tokens.scope.split(provider.scopeSeparator).map((each) => each.trim()))].filter(Boolean);
  const party = getValidatedIdTokenClaims(tokens)?.azp;
  if (party !== undefined && party !== clientId) return refused("The ID token is for another client.");
  const allowed = new Set(asked.map(nameOf));
  if (scopes.some((scope) => !allowed.has(nameOf(scope)))) {
    return refused("The provider granted more scopes than were asked for.");
  }
  if (!["bearer", ...(provider.tokenTypes ?? [])].includes(tokens.token_type)) {
    return refused("The provider issued a token of a type that is not supported.");
  }
  const { origin = provider.api.origin, rules, concurrency, who = { level: "admin" } } = use;
  const common = { origin, rules, ...(concurrency !== undefined && { concurrency }) };
  if (provider.kind === "access_token" && (tokens.refresh_token ?? tokens.expires_in) !== undefined) {
    return refused("The provider issued a token that expires: switch token rotation off for this client.");
  }
  if (tokens.refresh_token === undefined) {
    if (provider.kind === "refresh_token" || tokens.expires_in !== undefined) {
      return refused(
        "The provider issued no refresh token; some need a scope for it, such as offline_access.",
      );
    }
    if (!TOKEN.test(tokens.access_token)) {
      return refused("The provider issued a token that no header can carry.");
    }
    return { policy: { ...common, inject: BEARER }, value: tokens.access_token, scopes };
  }
  const value = { refreshToken: tokens.refresh_token, ...(secret !== undefined && { clientSecret: secret }) };
  const policy: BrokerPolicy = {
    ...common,
    inject: { token: BEARER },
    grant: {
      ...{ type: "refresh_token", endpoint: provider.token, clientId, scopes, who },
      ...{
        clientAuth: secret === undefined ? "none" : provider.clientAuth,
        lifetimeSeconds: MOST_TOKEN_SECONDS,
      },
      ...(provider.revocation?.type === "rfc7009" && { revocation: provider.revocation.endpoint }),
    },
  };
  if (!Value.Check(RefreshValue, value) || !Value.Check(BrokerPolicy, policy)) {
    return refused("The provider issued a refresh token or scopes that cannot be kept.");
  }
  return { policy, value: JSON.stringify(value), scopes };
}
