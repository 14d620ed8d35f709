import type { DestinationPolicy } from "../shared/work/destination.ts";
import { isInjectable } from "../shared/work/request-headers.ts";
import { JobFailure } from "./job-failure.ts";
import { MIN_SEARCHABLE_BYTES } from "./scrub/needles.ts";

/** Destinations take 8 to 16 KiB for all headers of a request. */
const MAX_VALUE = 8_192;
const PRINTABLE = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;

export interface Injected {
  header: [name: string, value: string];
  /** All that an answer must not contain: the credential, what it was made into or made from. The caller zeroes it. */
  secrets: Uint8Array[];
}

/** Puts a credential into the header of its policy. Throws JobFailure. */
export function inject(policy: DestinationPolicy["inject"], credential: Uint8Array): Injected {
  if ("signature" in policy || !isInjectable(policy.header)) {
    throw new JobFailure("policy_mismatch", "the policy is not for a credential that is sent in a header");
  }
  const text = Buffer.from(credential).toString("latin1");
  const value = policy.format.split("{}").join(text);
  if (value.length > MAX_VALUE || !PRINTABLE.test(value)) {
    throw new JobFailure("request_not_allowed", "the credential cannot be sent in a header");
  }
  if (credential.byteLength < MIN_SEARCHABLE_BYTES) {
    throw new JobFailure("request_not_allowed", "the credential is too short to be removed from an answer");
  }
  return {
    header: [policy.header, value],
    secrets: [credential, Buffer.from(value, "latin1"), ...basicParts(value)],
  };
}

/** The name and password in a header value of the scheme Basic, together and the password alone. */
function basicParts(value: string): Uint8Array[] {
  const [, encoded] = /^Basic +([A-Za-z0-9+/]+={0,2})$/i.exec(value) ?? [];
  if (encoded === undefined) return [];
  const pair = Buffer.from(encoded, "base64");
  const colon = pair.indexOf(":");
  return colon < 0 ? [pair] : [pair, pair.subarray(colon + 1)];
}
