import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { canonicalContext, type EncryptionContext } from "../../services/shared/envelope/context.ts";
import { type KeyProvider, KeyProviderError } from "../../services/shared/envelope/key-provider.ts";

/** A key provider without a server: AES-256-GCM under a key of its own, the context as additional data. */
export interface MemoryKeyProvider extends KeyProvider {
  /** How often it was asked to open a data key. */
  opened: number;
  /** Each plaintext data key that it has given out; zeros once its user has zeroed it. */
  readonly givenOut: Uint8Array[];
}

export function memoryKeyProvider(name: string, key: Uint8Array = randomBytes(32)): MemoryKeyProvider {
  const aad = (context: EncryptionContext) => Buffer.from(canonicalContext(context));
  const givenOut: Uint8Array[] = [];
  const give = (plaintext: Uint8Array) => {
    const own = new Uint8Array(plaintext);
    givenOut.push(own);
    return own;
  };
  return {
    name,
    opened: 0,
    givenOut,
    async makeDataKey(context) {
      const plaintext = randomBytes(32);
      const nonce = randomBytes(12);
      const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(aad(context));
      const sealed = [nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()];
      return { plaintext: give(plaintext), encrypted: new Uint8Array(Buffer.concat(sealed)) };
    },
    async openDataKey(context, encrypted) {
      this.opened++;
      try {
        const decipher = createDecipheriv("aes-256-gcm", key, encrypted.subarray(0, 12))
          .setAAD(aad(context))
          .setAuthTag(encrypted.subarray(-16));
        return give(Buffer.concat([decipher.update(encrypted.subarray(12, -16)), decipher.final()]));
      } catch (cause) {
        throw new KeyProviderError("refused", `${name}: does not open`, { cause });
      }
    },
  };
}
