import type { TokenType } from "../../../shared/broker/tokens.ts";

/** Whose token it is. A token is for one value of a credential that a member has put, with one policy. */
export interface TokenOwner {
  org: string;
  credential: string;
  /** The version that was put; those by which the provider has replaced it since share its tokens. */
  since: number;
  /** The policy's hash. */
  policy: string;
}

/** A token in the broker's memory. */
export interface HeldToken {
  /** Of the token's text; zeros once it is dropped. */
  bytes: Uint8Array;
  type: TokenType;
  /** What it may be used for. */
  names: string[];
  /** Milliseconds since 1970. */
  expiresAt: number;
  lifeMs: number;
}

interface OfCredential {
  owner: TokenOwner;
  /** By what was asked for; the oldest first. */
  tokens: Map<string, HeldToken>;
}

const MOST_CREDENTIALS = 5_000;
const MOST_OF_ORG = 500;
const MOST_OF_CREDENTIAL = 32;
/** A token is not handed out in the last part of its life: the request it is for takes time, too. */
const LEAST_LEFT_MS = 60_000;
const LEAST_LEFT_PART = 0.25;
/** A destination that refuses each token must not cause an exchange for each request. */
const YOUNG_MS = 60_000;

/**
 * Tokens, in memory alone. One is found only for the value and the policy that it was issued for; those of an earlier value
 * are dropped as soon as a later one is known. JavaScript may have copied a token's text; the bytes that are kept
 * are zeroed.
 */
export class HeldTokens {
  /** The least recently used credential first. */
  readonly #held = new Map<string, OfCredential>();

  /** The token for what was asked, if it lives at most `seconds` and long enough to be used. */
  find(owner: TokenOwner, asked: string, seconds: number, now: number): HeldToken | undefined {
    const found = this.#of(owner);
    const token = found?.tokens.get(asked);
    if (!found || !token) return undefined;
    const left = token.expiresAt - now;
    if (left < Math.min(LEAST_LEFT_MS, token.lifeMs * LEAST_LEFT_PART)) {
      token.bytes.fill(0);
      found.tokens.delete(asked);
      return undefined;
    }
    return left <= seconds * 1000 ? token : undefined;
  }

  /** Keeps a token, whose bytes are this class's to zero. */
  keep(owner: TokenOwner, asked: string, token: HeldToken): void {
    const found = this.#of(owner) ?? this.#begin(owner);
    found.tokens.get(asked)?.bytes.fill(0);
    found.tokens.delete(asked);
    found.tokens.set(asked, token);
    const [oldest] = found.tokens;
    if (!oldest || found.tokens.size <= MOST_OF_CREDENTIAL) return;
    oldest[1].bytes.fill(0);
    found.tokens.delete(oldest[0]);
  }

  /** Drops what has expired. */
  sweep(now: number): void {
    for (const [key, { tokens }] of this.#held) {
      for (const [asked, { bytes, expiresAt }] of tokens) {
        if (expiresAt > now) continue;
        bytes.fill(0);
        tokens.delete(asked);
      }
      if (tokens.size === 0) this.#held.delete(key);
    }
  }

  /** Drops a credential's tokens, apart from those that are younger than a minute. */
  drop(org: string, credential: string, now: number): void {
    const tokens = this.#held.get(`${org}/${credential}`)?.tokens;
    for (const [asked, { bytes, expiresAt, lifeMs }] of tokens ?? []) {
      if (now - (expiresAt - lifeMs) < YOUNG_MS) continue;
      bytes.fill(0);
      tokens?.delete(asked);
    }
  }

  /** Drops all tokens. */
  forget(): void {
    for (const key of this.#held.keys()) this.#drop(key);
  }

  /** Those of exactly this value and policy; drops those of an earlier value or of another policy. */
  #of(owner: TokenOwner): OfCredential | undefined {
    const key = keyOf(owner);
    const found = this.#held.get(key);
    if (!found) return undefined;
    const { since, policy } = found.owner;
    if (since === owner.since && policy === owner.policy) {
      this.#held.delete(key);
      this.#held.set(key, found);
      return found;
    }
    // A call with an earlier value is late, and no reason to drop what is newer.
    if (since <= owner.since) this.#drop(key);
    return undefined;
  }

  #begin(owner: TokenOwner): OfCredential {
    const key = keyOf(owner);
    this.#drop(key);
    const ofOrg = [...this.#held.keys()].filter((each) => each.startsWith(`${owner.org}/`));
    if (ofOrg.length >= MOST_OF_ORG) this.#drop(ofOrg[0]);
    if (this.#held.size >= MOST_CREDENTIALS) this.#drop(this.#held.keys().next().value);
    const made: OfCredential = { owner, tokens: new Map() };
    this.#held.set(key, made);
    return made;
  }

  #drop(key: string | undefined): void {
    if (key === undefined) return;
    for (const { bytes } of this.#held.get(key)?.tokens.values() ?? []) bytes.fill(0);
    this.#held.delete(key);
  }
}

const keyOf = ({ org, credential }: TokenOwner): string => `${org}/${credential}`;
