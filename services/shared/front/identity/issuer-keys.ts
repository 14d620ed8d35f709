import type { webcrypto } from "node:crypto";
import { createRemoteJWKSet, customFetch, errors, exportSPKI, type JWKSCacheInput, jwksCache } from "jose";
import type { Logger } from "pino";
import { StrongroomError } from "../../errors.ts";
import { readBounded } from "../../http/read-bounded.ts";
import { TokenRefused } from "./refused.ts";

/** A new `kid` is looked for at most this often; it may take as long to be accepted. */
const COOLDOWN_MS = 30_000;
const FETCH_TIMEOUT_MS = 5_000;
/** However many ask, one fetch in this time while there are no keys at all: callers do not queue behind timeouts. */
const FIRST_FETCH_EVERY_MS = 1_000;
/** As long a key is still taken that its issuer shows no more. */
const RELOAD_EVERY_MS = 60_000;
/** Keys that could not be fetched again for this long are no longer trusted. */
const STALE_AFTER_MS = 24 * 3_600_000;
const MAX_BODY_BYTES = 256 * 1024;
const MIN_RSA_BITS = 2048;

export interface IssuerKeysOptions {
  logger: Logger;
  /** Milliseconds since 1970; the system's clock by default. */
  now?: () => number;
}

/**
 * One issuer's public keys, fetched from its JWKS address and kept: jose fetches, caches and rotates them;
 * once fetched they keep working while the address does not answer, for up to a day.
 */
export class IssuerKeys {
  readonly #set: ReturnType<typeof createRemoteJWKSet>;
  readonly #cache: JWKSCacheInput = {};
  readonly #pem = new WeakMap<webcrypto.CryptoKey, Promise<string>>();
  readonly #logger: Logger;
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;
  #fetchedAt = Number.NEGATIVE_INFINITY;

  constructor(jwksUri: string, { logger, now = Date.now }: IssuerKeysOptions) {
    this.#logger = logger.child({ jwksUri });
    this.#now = now;
    this.#set = createRemoteJWKSet(new URL(jwksUri), {
      cooldownDuration: COOLDOWN_MS,
      cacheMaxAge: Number.POSITIVE_INFINITY, // jose's own limit would drop good keys when a fetch fails
      timeoutDuration: FETCH_TIMEOUT_MS,
      [jwksCache]: this.#cache,
      [customFetch]: (url, init) => this.#fetch(url, init),
    });
    this.#timer = setInterval(() => {
      this.#fetchedAt = Number.NEGATIVE_INFINITY; // however lately a caller has had them fetched
      void this.reload();
    }, RELOAD_EVERY_MS).unref();
  }

  /** Changes with every fetch, so that what was verified by an older set can be told apart; undefined while there are no keys to trust. */
  get current(): unknown {
    const { uat, jwks } = this.#cache as { uat?: number; jwks?: unknown };
    return uat !== undefined && this.#now() - uat < STALE_AFTER_MS ? jwks : undefined;
  }

  /**
   * The public key (SPKI, PEM) for a token's header. Throws {@link TokenRefused} for a key that is not in
   * the set or not fit, `issuer_keys_unreachable` where there is no set to look in.
   */
  async find(header: { alg: string; kid: string }): Promise<string> {
    if (this.current === undefined) await this.#load();
    let key: webcrypto.CryptoKey;
    try {
      key = await this.#set(header);
    } catch (error) {
      // Also where the set could not be fetched again to look for a new kid: those we have keep working.
      const unfit = error instanceof errors.JWKSInvalid || error instanceof errors.JWKSMultipleMatchingKeys;
      throw new TokenRefused(unfit ? "key_unfit" : "kid_unknown", error);
    }
    const { modulusLength } = key.algorithm as { modulusLength?: number };
    if (modulusLength !== undefined && modulusLength < MIN_RSA_BITS) throw new TokenRefused("key_unfit");
    let pem = this.#pem.get(key);
    if (!pem) {
      pem = exportSPKI(key);
      this.#pem.set(key, pem);
    }
    return await pem;
  }

  /** Fetches the keys now; a failure is logged, and the keys at hand stay. */
  async reload(): Promise<void> {
    try {
      await this.#set.reload();
    } catch (error) {
      this.#logger.warn({ reason: reasonOf(error) }, "the issuer's keys cannot be fetched");
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #load(): Promise<void> {
    await this.reload();
    if (this.current === undefined) {
      throw new StrongroomError("issuer_keys_unreachable", "The issuer's keys cannot be fetched now.");
    }
  }

  async #fetch(url: string, init: RequestInit): Promise<Response> {
    const now = this.#now();
    // jose's own cooldown counts from the last fetch that succeeded.
    const every = this.current === undefined ? FIRST_FETCH_EVERY_MS : COOLDOWN_MS;
    if (now - this.#fetchedAt < every) throw new Error("the last fetch was just now");
    this.#fetchedAt = now;
    const response = await fetch(url, init);
    return new Response(await readBounded(response, MAX_BODY_BYTES), { status: response.status });
  }
}

function reasonOf(error: unknown): string {
  const { code, message, cause } = error as NodeJS.ErrnoException & { cause?: { code?: string } };
  return cause?.code ?? code ?? message;
}
