import type { EncryptionContext } from "./context.ts";

/** A data key as a key provider makes it: 32 bytes, and the same key encrypted under the provider's own. */
export interface DataKey {
  plaintext: Uint8Array;
  encrypted: Uint8Array;
}

/**
 * A key provider: `kms` or the internal Vault's `transit`. The intake's login may only make data keys, a worker's may
 * open those of its own key. Both throw {@link KeyProviderError}.
 */
export interface KeyProvider {
  /** Identifies provider and key in the envelope, such as `transit:integration`. */
  readonly name: string;
  makeDataKey(context: EncryptionContext): Promise<DataKey>;
  openDataKey(context: EncryptionContext, encrypted: Uint8Array): Promise<Uint8Array>;
}

/** The provider refused (`refused`: wrong context, key or permission), or could not be reached (`unavailable`). */
export class KeyProviderError extends Error {
  override name = "KeyProviderError";
  readonly reason: "refused" | "unavailable";

  constructor(reason: "refused" | "unavailable", message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.reason = reason;
  }
}
