import type { webcrypto } from "node:crypto";
import { createRemoteJWKSet, customFetch, errors, exportSPKI, type JWKSCacheInput, jwksCache } from "jose";
import type { Logger } from "pino";
import { StrongroomError } from "../../errors.ts";
import { readBounded } from "../../http/read-bounded.ts";
import { TokenRefused } from "./refused.ts";

/** An unknown `kid` triggers a fetch at most this often, so a new key may take this long to be accepted. */
const COOLDOWN_MS = 30_000;
const FETCH_TIMEOUT_MS = 5_000;
/** While there are no keys at all, at most one fetch in this time, so that callers do not queue behind timeouts. */
const FIRST_FETCH_EVERY_MS = 1_000;
/** Also how long a key is still accepted after its issuer has withdrawn it. */
const RELOAD_EVERY_MS = 60_000;
/** Keys that could not be refreshed for this long are no longer trusted. */
const STALE_AFTER_MS = 24 * 3_600_000;
const MAX_BODY_BYTES = 256 * 1024;
const MIN_RSA_BITS = 2048;

export interface IssuerKeysOptions {
  logger: Logger;
  /** Milliseconds since 1970; the system's clock by default. */
  now?: () => number;
}

/**
 * One issuer's public keys: jose fetches, caches and rotates them from its JWKS address. Once fetched, they stay
 * trusted for up to a day while that address does not respond.
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
      this.#fetchedAt = Number.NEGATIVE_INFINITY; // bypass the cooldown
      void this.reload();
    }, RELOAD_EVERY_MS).unref();
  }

  /**
   * The key set, a new object with every fetch, which shows what was verified against an older one; undefined without
   * trusted keys.
   */
  get current(): unknown {
    const { uat, jwks } = this.#cache as { uat?: number; jwks?: unknown };
    return uat !== undefined && this.#now() - uat < STALE_AFTER_MS ? jwks : undefined;
  }

  /**
   * The public key (SPKI, PEM) for a token's header. Throws {@link TokenRefused} for a key that is not in the set or
   * not suitable, `issuer_keys_unreachable` if there is no set.
   */
  async find(header: { alg: string; kid: string }): Promise<string> {
    if (this.current === undefined) await this.#load();
    let key: webcrypto.CryptoKey;
    try {
      key = await this.#set(header);
    } catch (error) {
      // Also if the set could not be refreshed to look for a new kid: the known keys stay valid.
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

  /** Fetches the keys now; a failure is logged, and the current keys stay. */
  async reload(): Promise<void> {
    try {
      await this.#set.reload();
    } catch (error) {
      this.#logger.warn({ reason: reasonOf(error) }, "cannot fetch the issuer's keys");
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #load(): Promise<void> {
    await this.reload();
    if (this.current === undefined) {
      const detail = "The token issuer's keys cannot be fetched now. Try again in a moment.";
      throw new StrongroomError("issuer_keys_unreachable", detail);
    }
  }

  async #fetch(url: string, init: RequestInit): Promise<Response> {
    const now = this.#now();
    // jose's own cooldown counts from the last successful fetch only.
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
