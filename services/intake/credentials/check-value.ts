import { VALUE_BYTES } from "../../shared/api/credentials.ts";
import { StrongroomError } from "../../shared/errors.ts";
import type { DestinationPolicy } from "../../shared/work/destination.ts";

/** What a header's value may contain: RFC 9110's visible characters and spaces within. */
const HEADER_TEXT = /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/;

/**
 * The bytes of a value, which the caller zeroes. Throws `invalid_value` if it is too short to be found in an answer or
 * no header can carry it, and `body_too_large`.
 */
export function valueBytes(value: string): Uint8Array {
  checkLength(Buffer.byteLength(value));
  const isHeaderText = HEADER_TEXT.test(value);
  // The last successful match keeps its subject alive.
  /^/.test("");
  if (!isHeaderText) {
    throw invalid("contains characters that a header cannot carry (or begins or ends with a space)");
  }
  const bytes = new Uint8Array(value.length);
  new TextEncoder().encodeInto(value, bytes);
  return bytes;
}

/** The longest value of a header that a worker sends: destinations take 8 to 16 KiB for all headers together. */
const MOST_HEADER_BYTES = 8_192;

/** Throws `invalid_value` if the header would be too long with a value of so many bytes in its format. */
export function checkHeaderLength(bytes: number, { inject }: DestinationPolicy): void {
  if (!("format" in inject) || inject.format.length - 2 + bytes <= MOST_HEADER_BYTES) return;
  throw invalid(`makes its header longer than ${MOST_HEADER_BYTES} bytes, which destinations do not take`);
}

/** Throws `invalid_value` or `body_too_large` unless a value may have so many bytes. */
export function checkLength(bytes: number): void {
  if (bytes > VALUE_BYTES.max) {
    throw new StrongroomError("body_too_large", `The value is longer than ${VALUE_BYTES.max / 1024} KiB.`);
  }
  if (bytes < VALUE_BYTES.min) {
    throw invalid(`has fewer than ${VALUE_BYTES.min} bytes: too short to be found in an answer and removed`);
  }
}

const invalid = (message: string) =>
  new StrongroomError("invalid_value", `The value ${message}.`, {
    errors: [{ pointer: "/body/value", message }],
  });
