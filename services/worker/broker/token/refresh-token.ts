import { Value } from "typebox/value";
import { type Grant, RefreshValue } from "../../../shared/broker/grant.ts";
import { UseFailure } from "../use-failure.ts";
import { type GrantRun, type Refreshed, secretBytes, textOf } from "./issued.ts";
import { clientAuth, issuedBy, requestToken } from "./oauth.ts";

type RefreshToken = Extract<Grant, { type: "refresh_token" }>;

/**
 * RFC 6749, 6. The value is a RefreshValue. If the provider replaces the refresh token, the answer has the new value
 * even if the access token that came with it cannot be used: the old value is worth nothing any more.
 */
export async function refreshToken({
  grant,
  value,
  narrowed,
  exchange,
}: GrantRun<RefreshToken>): Promise<Refreshed> {
  const current = refreshValueOf(value);
  const client = { ...grant, auth: clientAuth(grant.clientAuth, current.clientSecret) };
  const { refreshToken: newest, result } = await requestToken(exchange, client, "refresh_token", {
    refresh_token: current.refreshToken,
    scope: narrowed.scopes.join(" "),
  });
  const replacement =
    newest === undefined || newest === current.refreshToken
      ? undefined
      : new TextEncoder().encode(JSON.stringify({ ...current, refreshToken: newest }));
  if ("refused" in result) return { replacement, result };
  const issued = {
    ...issuedBy(result.answer, narrowed.scopes, exchange, client),
    secrets: secretBytes(current.refreshToken, newest, current.clientSecret),
  };
  return { replacement, result: { issued } };
}

/** Throws UseFailure `unusable_value`. */
export function refreshValueOf(value: Uint8Array): RefreshValue {
  try {
    const parsed: unknown = JSON.parse(textOf(value));
    if (Value.Check(RefreshValue, parsed)) return parsed;
  } catch {
    // refused below
  }
  throw new UseFailure("unusable_value", "the credential's value is not the JSON of a refresh token");
}
