import {
  type AuthorizationServer,
  customFetch,
  discoveryRequest,
  processDiscoveryResponse,
} from "oauth4webapi";
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import type { ProviderChoice } from "../../../shared/broker/connections.ts";
import { PROVIDER_NAMES, type Provider, providerOf } from "../../../shared/broker/providers.ts";
import type { Exchange } from "../../outbound/exchange.ts";
import { UseFailure } from "../use-failure.ts";
import { providerFailure, providerFetch } from "./provider-fetch.ts";

const Url = Type.String({ maxLength: 1024, pattern: "^https://[^/?#@]+/[^?#]*$" });
const Issuer = Type.String({ maxLength: 1024, pattern: "^https://[^/?#@]+(/[^?#]*)?$" });

/** A provider that is not of the registry: what is known of it from its metadata, or from the caller. */
const Described = Type.Object(
  {
    issuer: Type.Optional(Issuer),
    sendsIssuer: Type.Boolean(),
    authorization: Url,
    token: Url,
    jwks: Type.Optional(Url),
    revocation: Type.Optional(Url),
    clientAuth: Type.Enum(["basic", "post"]),
  },
  { additionalProperties: false },
);
type Described = Static<typeof Described>;

/** A provider as a flow keeps it: by name, so that its endpoints are those of the registry; or described. */
export const KnownProvider = Type.Union([Type.Enum([...PROVIDER_NAMES]), Described]);
export type KnownProvider = Static<typeof KnownProvider>;

export const asProvider = (known: KnownProvider): Provider =>
  typeof known === "string"
    ? providerOf(known)
    : {
        ...{ title: new URL(known.token).host, sendsIssuer: known.sendsIssuer },
        ...{ authorization: known.authorization, token: known.token, clientAuth: known.clientAuth },
        ...(known.issuer !== undefined && { issuer: known.issuer }),
        ...(known.jwks !== undefined && { jwks: known.jwks }),
        ...(known.revocation && { revocation: { type: "rfc7009", endpoint: known.revocation } }),
        ...{ pkce: "always", scopeSeparator: " ", kind: "refresh_token", narrows: true },
        api: { origin: "", hosts: [] },
      };

/** Of ID tokens: signed with a private key. */
const ALGORITHMS = ["RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"];

/** What oauth4webapi knows of a provider. One without an issuer gets a name that no provider sends. */
export const metadataOf = (provider: Provider): AuthorizationServer => ({
  issuer: provider.issuer ?? "urn:strongroom:no-issuer",
  authorization_endpoint: provider.authorization,
  token_endpoint: provider.token,
  authorization_response_iss_parameter_supported: provider.sendsIssuer,
  id_token_signing_alg_values_supported: ALGORITHMS,
  ...(provider.jwks !== undefined && { jwks_uri: provider.jwks }),
  ...(provider.revocation?.type === "rfc7009" && { revocation_endpoint: provider.revocation.endpoint }),
});

/** Finds out where a provider's endpoints are. Throws UseFailure. */
export async function findProvider(
  choice: ProviderChoice,
  exchange: Exchange,
  signal: AbortSignal,
): Promise<KnownProvider> {
  if (typeof choice === "string") return choice;
  if ("token" in choice) {
    const { clientAuth = "basic", ...rest } = choice;
    return { ...rest, clientAuth, sendsIssuer: choice.issuer !== undefined };
  }
  return await discover(choice.issuer, exchange, signal);
}

async function discover(issuer: string, exchange: Exchange, signal: AbortSignal): Promise<Described> {
  const url = new URL(issuer);
  const document = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  let found: AuthorizationServer;
  try {
    const response = await discoveryRequest(url, {
      [customFetch]: providerFetch(exchange, [document], signal),
    });
    found = await processDiscoveryResponse(url, response);
  } catch (error) {
    throw providerFailure(error);
  }
  if (found.issuer !== issuer) throw unusable("names another issuer");
  const methods = found.token_endpoint_auth_methods_supported ?? ["client_secret_basic"];
  const described = {
    ...{ issuer, sendsIssuer: found.authorization_response_iss_parameter_supported === true },
    ...{ authorization: found.authorization_endpoint, token: found.token_endpoint, jwks: found.jwks_uri },
    ...(found.revocation_endpoint !== undefined && { revocation: found.revocation_endpoint }),
    clientAuth: methods.includes("client_secret_basic") ? "basic" : "post",
  };
  if (!Value.Check(Described, described)) throw unusable("has endpoints that are missing or no https URLs");
  const { authorization, token, jwks, revocation } = described;
  const urls = [authorization, token, jwks, revocation].filter((each) => each !== undefined);
  if (urls.some((each) => !URL.canParse(each) || new URL(each).href !== each)) {
    throw unusable("has endpoints that are not in their one spelling");
  }
  // An issuer that names another's endpoint could have a code, or a secret, sent where it was not meant for.
  if (urls.some((each) => new URL(each).origin !== url.origin)) {
    throw unusable("has endpoints of another origin than the issuer's; name them instead of the issuer");
  }
  const challenges = found.code_challenge_methods_supported;
  if (challenges && !challenges.includes("S256")) throw unusable("has no PKCE with S256");
  return described;
}

const unusable = (what: string) =>
  new UseFailure("answer_unusable", `The provider's discovery document ${what}.`);
