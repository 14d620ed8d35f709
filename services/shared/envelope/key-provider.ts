import type { EncryptionContext } from "./context.ts";

/** A data key as a key provider makes it: 32 bytes, and the same key encrypted under the provider's own. */
export interface DataKey {
  /** In an ArrayBuffer of its own, so that zeroing it leaves no copy and touches nothing else. */
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
  /** The data key in an ArrayBuffer of its own. */
  openDataKey(context: EncryptionContext, encrypted: Uint8Array): Promise<Uint8Array>;
}

/**
 * Why a key provider did not answer with a key. `refused`: this encrypted data key does not open with this context and
 * key, and never will. `forbidden`: the login may not do this. `unavailable`: no usable answer. The last two may pass.
 */
export type KeyProviderFailure = "refused" | "forbidden" | "unavailable";

/** A key provider failed. Its message and cause hold no key and no context. */
export class KeyProviderError extends Error {
  override name = "KeyProviderError";
  readonly reason: KeyProviderFailure;

  constructor(reason: KeyProviderFailure, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.reason = reason;
  }
}
