import type { Injection } from "../../../shared/broker/inject.ts";
import type { BrokerPolicy } from "../../../shared/broker/policy.ts";
import { injectBasic } from "./basic.ts";
import { injectHeader } from "./header.ts";
import { injectHmac, signsBody } from "./hmac.ts";
import { injectJwt } from "./jwt.ts";
import type { Prepared, Unprepared } from "./prepared.ts";
import { injectSigV4 } from "./sigv4.ts";
import { injectToken } from "./token.ts";
import { injectPathPrefix, injectQuery } from "./url.ts";

export type { Prepared, Unprepared } from "./prepared.ts";

/** Whether the body must be known whole before a request is prepared, since it is signed. */
export const needsBody = (inject: Injection): boolean =>
  "sigv4" in inject || ("hmac" in inject && signsBody(inject.hmac));

/**
 * Makes a request with a credential as the policy's `inject` says. `now` is milliseconds since 1970; `accessToken` is what the
 * policy's grant obtained. Throws UseFailure: `unusable_value` says why without a word of the value.
 */
export async function prepareRequest(
  { origin, inject }: BrokerPolicy,
  value: Uint8Array,
  request: Unprepared,
  now: number,
  accessToken?: string,
): Promise<Prepared> {
  // As the header `Host` has it: without the scheme's own port.
  const { host } = new URL(origin);
  if ("header" in inject) return injectHeader(inject, value, request);
  if ("basic" in inject) return injectBasic(inject.basic.user, value, request);
  if ("query" in inject) return injectQuery(inject.query, value, request);
  if ("pathPrefix" in inject) return injectPathPrefix(inject.pathPrefix, value, request);
  if ("sigv4" in inject) return await injectSigV4(inject.sigv4, host, value, request, now);
  if ("hmac" in inject) return injectHmac(inject.hmac, host, value, request, now);
  if ("jwt" in inject) return await injectJwt(inject.jwt, value, request, now);
  return injectToken(inject.token, value, request, accessToken);
}
