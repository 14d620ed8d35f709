import type { Grant } from "../../../shared/broker/grant.ts";
import type { Narrowed } from "../../../shared/broker/narrow.ts";
import type { TokenType } from "../../../shared/broker/tokens.ts";
import type { Exchange } from "../../outbound/exchange.ts";
import { Scrubber } from "../../scrub/scrubber.ts";
import { UseFailure } from "../use-failure.ts";

/** What turns a credential into a token, for one type of grant. */
export interface GrantRun<G extends Grant = Grant> {
  grant: G;
  /** The opened credential, which the caller zeroes. */
  value: Uint8Array;
  /** What may be asked for. */
  narrowed: Narrowed;
  /** Names the session at AWS. */
  credential: string;
  exchange: Exchange;
  /** Milliseconds since 1970. */
  now: number;
}

/** What a provider has issued, before it is checked. */
export interface Issued {
  token: string;
  type: TokenType;
  /** How long the token lives from now; undefined if the provider does not say. */
  lifeSeconds: number | undefined;
  /** By how many seconds the clocks may differ, if the provider has told an instant instead of a period. */
  toleranceSeconds: number;
  /** What it may be used for that was not asked for. */
  wider: boolean;
  /** What it is for, if that is less than was asked for. */
  names?: string[];
  /** What was sent to the provider, and must not be in the token. */
  secrets: Uint8Array[];
  /** Revokes it at the provider, as far as the provider can. */
  revoke?: () => Promise<void>;
}

/** What a provider answered to the exchange of a refresh token. */
export interface Refreshed {
  /** The new value of the credential, which the caller seals and zeroes; undefined if the provider keeps the old one. */
  replacement: Uint8Array | undefined;
  /** The token; or why it is none, though the refresh token may have been replaced. */
  result: { issued: Issued } | { refused: UseFailure };
}

const MOST_TOKEN_BYTES = 48 * 1024;

/**
 * Throws unless a token is one, is for no more than was asked and lives no longer; one that is or does is revoked before,
 * if that can be. The bytes of `issued.secrets` are zeroed.
 */
export async function checkIssued(issued: Issued, { seconds }: Narrowed): Promise<void> {
  const problem = problemOf(issued, seconds);
  if (!problem) return;
  // A failure to revoke changes nothing for the caller, who does not get the token.
  await issued.revoke?.().catch(() => {});
  throw problem;
}

function problemOf(
  { token, type, lifeSeconds, toleranceSeconds, wider, secrets }: Issued,
  seconds: number,
): UseFailure | undefined {
  const scrubber = new Scrubber(secrets);
  for (const secret of secrets) secret.fill(0);
  try {
    if (Buffer.byteLength(token) > MOST_TOKEN_BYTES || (type === "bearer" && !/^[\x21-\x7e]+$/.test(token))) {
      return new UseFailure("answer_unusable", "the provider's token cannot be sent in a header");
    }
    scrubber.scrub(Buffer.from(token));
    if (scrubber.hits > 0) {
      return new UseFailure("response_blocked", "the provider's token contains the credential");
    }
  } finally {
    scrubber.forget();
    /^/.test(""); // the last successful match keeps its subject alive
  }
  if (wider) {
    return new UseFailure("provider_refused", "the provider's token is for more than was asked for");
  }
  if (lifeSeconds === undefined) {
    return new UseFailure("provider_refused", "the provider does not say when its token expires");
  }
  if (lifeSeconds > seconds + toleranceSeconds) {
    return new UseFailure(
      "provider_refused",
      `the provider's token lives for ${Math.floor(lifeSeconds)} seconds, and ${seconds} are allowed`,
    );
  }
  return lifeSeconds > 0
    ? undefined
    : new UseFailure("provider_refused", "the provider's token has expired already");
}

/** The text of a value. Throws UseFailure `unusable_value`. */
export function textOf(value: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(value);
  } catch {
    throw new UseFailure("unusable_value", "the credential's value is not text");
  }
}

/** Secrets that are long enough to be looked for. */
export const secretBytes = (...texts: (string | undefined)[]): Uint8Array[] =>
  texts
    .filter((text): text is string => text !== undefined && text.length >= LEAST_SECRET)
    .map((text) => new TextEncoder().encode(text));
const LEAST_SECRET = 8;
