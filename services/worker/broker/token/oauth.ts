import {
  type AuthorizationServer,
  type Client,
  type ClientAuth,
  ClientSecretBasic,
  ClientSecretPost,
  customFetch,
  genericTokenEndpointRequest,
  None,
  processGenericTokenEndpointResponse,
  revocationRequest,
  type TokenEndpointResponse,
} from "oauth4webapi";
import type { Answer, Exchange } from "../../outbound/exchange.ts";
import { UseFailure } from "../use-failure.ts";
import { callEndpoint, jsonOf } from "./endpoint.ts";
import type { Issued } from "./issued.ts";

/** A client at a provider. */
export interface OAuthClient {
  endpoint: string;
  revocation?: string | undefined;
  /** Without it, the provider is told none. */
  clientId?: string | undefined;
  auth: ClientAuth;
}

/** What a token endpoint answered: a token or a reason why not, and in both cases the refresh token that came with it. */
export interface TokenEndpointAnswer {
  refreshToken: string | undefined;
  result: { answer: TokenEndpointResponse } | { refused: UseFailure };
}

export type OAuthClientAuth = "basic" | "post" | "none";

/** How a client proves itself. */
export function clientAuth(how: OAuthClientAuth, secret: string | undefined): ClientAuth {
  if (how === "none") return None();
  if (secret === undefined) {
    throw new UseFailure("unusable_value", "the credential's value has no client secret");
  }
  return how === "basic" ? ClientSecretBasic(secret) : ClientSecretPost(secret);
}

/** For grants whose request itself is the proof. */
export const noClient: ClientAuth = () => {};

/** Asks a token endpoint. Throws UseFailure unless it answered with status 200 and a JSON object. */
export async function requestToken(
  exchange: Exchange,
  client: OAuthClient,
  grantType: string,
  parameters: Record<string, string | undefined>,
): Promise<TokenEndpointAnswer> {
  let refreshToken: string | undefined;
  const given = Object.entries(parameters).filter(
    (each): each is [string, string] => each[1] !== undefined && each[1] !== "",
  );
  const [server, self] = [serverOf(client), clientOf(client)];
  const response = await genericTokenEndpointRequest(server, self, client.auth, grantType, given, {
    [customFetch]: async (url, init) => {
      const answer = await send(exchange, url, init);
      // GitHub says an error with the status 200.
      if (answer.status !== 200 || codeOf(answer) !== undefined) throw refusal(answer);
      const body = membersOf(jsonOf(answer));
      const { refresh_token: replaced } = body;
      if (typeof replaced === "string" && replaced.length > 0) refreshToken = replaced;
      return new Response(JSON.stringify(body), {
        status: 200,
        headers: { "Content-Type": "application/json" },
      });
    },
  });
  try {
    const answer = await processGenericTokenEndpointResponse(server, self, response);
    if (answer.token_type !== "bearer") {
      throw new UseFailure("answer_unusable", "the provider's token is of another type than bearer");
    }
    return { refreshToken, result: { answer } };
  } catch (error) {
    // The library's message and cause repeat the answer.
    const refused =
      error instanceof UseFailure
        ? error
        : new UseFailure("answer_unusable", "the provider's answer is no token (RFC 6749, 5.1)");
    return { refreshToken, result: { refused } };
  }
}

/** A token as its endpoint describes it; `asked` are the scopes that were asked for. */
export function issuedBy(
  answer: TokenEndpointResponse,
  asked: readonly string[],
  exchange: Exchange,
  client: OAuthClient,
): Omit<Issued, "secrets"> {
  const granted =
    answer.scope === undefined ? undefined : [...new Set(answer.scope.split(" ").filter(Boolean))];
  return {
    ...{ token: answer.access_token, type: "bearer", toleranceSeconds: 0 },
    lifeSeconds: answer.expires_in,
    wider: granted?.some((scope) => !asked.includes(scope)) ?? false,
    ...(granted && { names: granted }),
    ...(client.revocation !== undefined && {
      revoke: () => revokeToken(exchange, client, answer.access_token, "access_token"),
    }),
  };
}

/** Revokes a token by RFC 7009. Throws UseFailure unless the provider says that it did. */
async function revokeToken(
  exchange: Exchange,
  client: OAuthClient,
  token: string,
  hint: "access_token" | "refresh_token",
): Promise<void> {
  await revocationRequest(serverOf(client), clientOf(client), client.auth, token, {
    additionalParameters: { token_type_hint: hint },
    [customFetch]: async (url, init) => {
      const answer = await send(exchange, url, init);
      if (answer.status !== 200) throw refusal(answer);
      return new Response(null, { status: 200 });
    },
  });
}

/** The provider refused: with its status, and its code if that is one of the standards'. Its own words are dropped. */
function refusal(answer: Answer): UseFailure {
  const { status } = answer;
  const given = codeOf(answer);
  const code = given === GITHUB_INVALID_GRANT ? "invalid_grant" : given;
  const known = code !== undefined && ERROR_CODES.includes(code) ? code : undefined;
  const detail = `the token's provider refused (status ${status}${known ? `, ${known}` : ""})`;
  return new UseFailure("provider_refused", detail, { status, ...(known !== undefined && { part: known }) });
}

function codeOf(answer: Answer): string | undefined {
  try {
    const { error } = jsonOf(answer);
    return typeof error === "string" ? error : undefined;
  } catch {
    return undefined;
  }
}

const GITHUB_INVALID_GRANT = "bad_refresh_token";
/** RFC 6749, 5.2; RFC 8693, 2.2.2; RFC 7009, 2.2.1. */
const ERROR_CODES = [
  "invalid_request",
  "invalid_client",
  "invalid_grant",
  "unauthorized_client",
  "unsupported_grant_type",
  "invalid_scope",
  "invalid_target",
  "unsupported_token_type",
];

interface FetchInit {
  body?: unknown;
  headers: Record<string, string>;
  method: string;
}

const send = (exchange: Exchange, endpoint: string, { body, headers }: FetchInit): Promise<Answer> =>
  callEndpoint(exchange, {
    ...{ endpoint, method: "POST", headers: Object.entries(headers) },
    body: new TextEncoder().encode(String(body)),
  });

/** The members that are used. An ID token is not: nobody here knows the provider's keys. */
function membersOf(json: Record<string, unknown>): Record<string, unknown> {
  const { access_token, token_type, refresh_token, scope, issued_token_type } = json;
  return {
    ...{ access_token, token_type, refresh_token, scope, issued_token_type },
    expires_in: secondsOf(json.expires_in),
  };
}

/** Some providers write the number as a text. What is neither is left for the library to refuse. */
const secondsOf = (value: unknown): unknown => {
  if (typeof value === "string") return /^[0-9]{1,9}$/.test(value) ? Number(value) : null;
  return value;
};

const serverOf = ({ endpoint, revocation }: OAuthClient): AuthorizationServer => ({
  issuer: new URL(endpoint).origin,
  token_endpoint: endpoint,
  ...(revocation !== undefined && { revocation_endpoint: revocation }),
});
/** The library requires an id; `noClient` does not send it. */
const clientOf = ({ clientId }: OAuthClient): Client => ({ client_id: clientId ?? "-" });
