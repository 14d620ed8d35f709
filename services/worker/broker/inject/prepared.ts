import { isInjectable } from "../../../shared/work/request-headers.ts";
import { MIN_SEARCHABLE_BYTES } from "../../scrub/needles.ts";
import { UseFailure } from "../use-failure.ts";

/** A request as the caller made it; the body only if its bytes are needed. */
export interface Unprepared {
  method: string;
  /** Path and query. */
  path: string;
  /** Without `Host`, `Connection` and `Content-Length`, which belong to the connection. */
  headers: [name: string, value: string][];
  body?: Uint8Array;
}

/** A request with the credential, or with what was made of it. */
export interface Prepared {
  path: string;
  headers: [name: string, value: string][];
  /** All that an answer must not contain. The caller zeroes them. */
  secrets: Uint8Array[];
  /** The credential stands in the URL. */
  inUrl?: true;
}

/** Destinations take 8 to 16 KiB for all headers of a request. */
const MOST_TEXT = 8_192;
const PRINTABLE = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;

/** A value that does not fit its policy; `what` says why without a word of it. */
export const unusable = (what: string): UseFailure => new UseFailure("unusable_value", what);

/** A value as text that a header or a URL can carry, and that is long enough to be found in an answer. */
export function printable(value: Uint8Array): string {
  const text = Buffer.from(value).toString("latin1");
  if (text.length > MOST_TEXT || !PRINTABLE.test(text)) throw unusable("the credential is no printable text");
  return searchable(text);
}

/** The value itself, if it is long enough to be found in an answer. */
export function searchable<T extends string | Uint8Array>(value: T): T {
  if (value.length < MIN_SEARCHABLE_BYTES) {
    throw unusable("the credential is too short to be removed from an answer");
  }
  return value;
}

/** A header's value by its format. */
export function formatted(format: string, text: string): string {
  const value = format.split("{}").join(text);
  if (value.length > MOST_TEXT || !PRINTABLE.test(value)) {
    throw unusable("the header's value would be too long, or begins or ends with a space");
  }
  return value;
}

/** The caller's headers and these, which take the place of the caller's of the same names. */
export function withHeaders(
  headers: readonly [string, string][],
  added: readonly [string, string][],
): [string, string][] {
  const names = new Set(added.map(([name]) => name.toLowerCase()));
  return [...headers.filter(([name]) => !names.has(name.toLowerCase())), ...added];
}

/** Throws UseFailure `malformed` if no credential may be in a header of this name. */
export function checkInjectable(...headers: string[]): void {
  if (headers.every(isInjectable)) return;
  throw new UseFailure("malformed", "the policy names a header that is the connection's own");
}
