import { UseFailure } from "../use-failure.ts";
import {
  checkInjectable,
  formatted,
  type Prepared,
  printable,
  type Unprepared,
  withHeaders,
} from "./prepared.ts";

/** Sends an access token that was obtained by the policy's grant; the value itself is not sent. */
export function injectToken(
  { header, format }: { header: string; format: string },
  value: Uint8Array,
  { path, headers }: Unprepared,
  accessToken: string | undefined,
): Prepared {
  checkInjectable(header);
  if (accessToken === undefined)
    throw new UseFailure("token_needed", "an access token must be obtained first");
  const token = Buffer.from(accessToken);
  const text = formatted(format, printable(token));
  return { path, headers: withHeaders(headers, [[header, text]]), secrets: [value, token] };
}
