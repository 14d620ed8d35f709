import { setTimeout as sleep } from "node:timers/promises";
import { seal } from "../../../shared/envelope/envelope.ts";
import { type KeyProvider, KeyProviderError } from "../../../shared/envelope/key-provider.ts";

/** A version of a credential, with its policy's hash. */
export interface CredentialVersion {
  org: string;
  credential: string;
  version: number;
  policy: string;
}

/** A refresh token's successor: the next version of the credential. */
interface Replacement {
  of: CredentialVersion;
  until: number;
  /** Until it is sealed. */
  value: Uint8Array | undefined;
  envelope: Promise<string> | undefined;
}

const KEPT_MS = 15 * 60_000;
const MOST_KEPT = 2_000;
const SEAL_TRIES = 4;
const SEAL_WAIT_MS = 250;

/**
 * New values that providers have issued for old ones, until the intake has surely stored them. A call that still has the
 * old version gets the same new value again, instead of sending a refresh token to the provider for the second time, which
 * many take for theft. So an intake that ends between the exchange and its write loses nothing; only the end of this
 * broker in that moment does.
 */
export class Replacements {
  readonly #keys: KeyProvider;
  readonly #now: () => number;
  readonly #kept = new Map<string, Replacement>();

  constructor(keys: KeyProvider, now: () => number) {
    this.#keys = keys;
    this.#now = now;
  }

  /** Whether the value of this version was replaced. */
  has(of: CredentialVersion): boolean {
    const found = this.#kept.get(keyOf(of));
    return found !== undefined && found.until > this.#now();
  }

  /** Keeps a new value, whose bytes are this class's to zero. */
  keep(of: CredentialVersion, value: Uint8Array): void {
    this.sweep();
    const [oldest] = this.#kept.keys();
    if (this.#kept.size >= MOST_KEPT && oldest !== undefined) this.#drop(oldest);
    const replacement = { of, value, envelope: undefined, until: this.#now() + KEPT_MS };
    this.#kept.set(keyOf(of), replacement);
  }

  /**
   * The new value of a version that was replaced, sealed for the next one. Throws KeyProviderError if it cannot be sealed
   * now: it is kept, and the next call tries again.
   */
  async sealed(of: CredentialVersion): Promise<{ version: number; envelope: string }> {
    const found = this.#kept.get(keyOf(of));
    if (!found) throw new Error("there is no replacement of this version");
    const version = of.version + 1;
    found.envelope ??= this.#seal(found, version);
    try {
      return { version, envelope: await found.envelope };
    } catch (error) {
      found.envelope = undefined;
      throw error;
    }
  }

  sweep(): void {
    for (const [key, { until }] of this.#kept) if (until <= this.#now()) this.#drop(key);
  }

  forget(): void {
    for (const key of this.#kept.keys()) this.#drop(key);
  }

  /** Zeroes the value once it is sealed. */
  async #seal(replacement: Replacement, version: number): Promise<string> {
    const { of, value } = replacement;
    if (!value) throw new Error("a replacement has neither value nor envelope");
    const { org, credential, policy } = of;
    const context = { org, credential, version: String(version), purpose: "broker", policy } as const;
    for (let attempt = 1; ; attempt++) {
      try {
        const envelope = await seal(this.#keys, context, value);
        value.fill(0);
        replacement.value = undefined;
        return Buffer.from(envelope).toString("base64");
      } catch (error) {
        if (attempt === SEAL_TRIES || !(error instanceof KeyProviderError)) throw error;
        await sleep(SEAL_WAIT_MS * 2 ** attempt);
      }
    }
  }

  #drop(key: string): void {
    this.#kept.get(key)?.value?.fill(0);
    this.#kept.delete(key);
  }
}

const keyOf = ({ org, credential, version, policy }: CredentialVersion): string =>
  JSON.stringify([org, credential, version, policy]);
