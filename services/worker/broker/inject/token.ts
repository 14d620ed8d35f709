import { UseFailure } from "../use-failure.ts";
import { injectHeader } from "./header.ts";
import type { Prepared, Unprepared } from "./prepared.ts";

/** Sends an access token that was obtained by the policy's grant; the value itself is not sent. */
export function injectToken(
  header: { header: string; format: string },
  value: Uint8Array,
  request: Unprepared,
  accessToken: string | undefined,
): Prepared {
  if (accessToken === undefined) {
    throw new UseFailure("token_needed", "an access token must be obtained first");
  }
  const prepared = injectHeader(header, Buffer.from(accessToken), request);
  return { ...prepared, secrets: [value, ...prepared.secrets] };
}
