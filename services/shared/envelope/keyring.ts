import {
  AlgorithmSuiteIdentifier,
  EncryptedDataKey,
  KeyringNode,
  KeyringTraceFlag,
  type NodeDecryptionMaterial,
  type NodeEncryptionMaterial,
} from "@aws-crypto/material-management-node";
import { contextMembers, type EncryptionContext } from "./context.ts";
import { EnvelopeRefused } from "./envelope-refused.ts";
import type { KeyProvider } from "./key-provider.ts";

/** AES-256-GCM with key derivation and key commitment, and without a signature. No other suite is sealed or opened. */
export const SUITE = AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY;

/** The provider id of each encrypted data key; its provider info is the name of the key provider. */
const PROVIDER_ID = "strongroom";

/** Whether a message's context has exactly the members of the wanted one. */
export function isContext(found: Record<string, string>, wanted: EncryptionContext): boolean {
  const members = Object.entries(contextMembers(wanted));
  return (
    Object.keys(found).length === members.length && members.every(([name, value]) => found[name] === value)
  );
}

/**
 * A keyring for one message: one data key, made or opened by one key provider for one context. Keeps nothing. Throws
 * what the provider throws, and {@link EnvelopeRefused} before it asks the provider if the message is not for this
 * context and provider.
 */
export class ProviderKeyring extends KeyringNode {
  readonly #provider: KeyProvider;
  readonly #context: EncryptionContext;
  #material: NodeEncryptionMaterial | NodeDecryptionMaterial | undefined;

  constructor(provider: KeyProvider, context: EncryptionContext) {
    super();
    this.#provider = provider;
    this.#context = context;
  }

  override async _onEncrypt(material: NodeEncryptionMaterial): Promise<NodeEncryptionMaterial> {
    this.#material = material;
    const { plaintext, encrypted } = await this.#provider.makeDataKey(this.#context);
    try {
      material.setUnencryptedDataKey(
        plaintext,
        this.#trace(KeyringTraceFlag.WRAPPING_KEY_GENERATED_DATA_KEY),
      );
    } finally {
      plaintext.fill(0);
    }
    const key = new EncryptedDataKey({
      providerId: PROVIDER_ID,
      providerInfo: this.#provider.name,
      encryptedDataKey: encrypted,
    });
    return material.addEncryptedDataKey(
      key,
      KeyringTraceFlag.WRAPPING_KEY_ENCRYPTED_DATA_KEY | KeyringTraceFlag.WRAPPING_KEY_SIGNED_ENC_CTX,
    );
  }

  override async _onDecrypt(
    material: NodeDecryptionMaterial,
    keys: EncryptedDataKey[],
  ): Promise<NodeDecryptionMaterial> {
    const [key, ...others] = keys;
    if (!key || others.length > 0) throw new EnvelopeRefused("the envelope has not exactly one data key");
    if (material.suite.id !== SUITE) throw new EnvelopeRefused("the envelope has another algorithm suite");
    if (!isContext(material.encryptionContext, this.#context)) {
      throw new EnvelopeRefused("the envelope was sealed for another context");
    }
    if (key.providerId !== PROVIDER_ID || key.providerInfo !== this.#provider.name) {
      throw new EnvelopeRefused("the envelope was sealed with another key");
    }
    this.#material = material;
    const plaintext = await this.#provider.openDataKey(this.#context, key.encryptedDataKey);
    try {
      return material.setUnencryptedDataKey(
        plaintext,
        this.#trace(
          KeyringTraceFlag.WRAPPING_KEY_DECRYPTED_DATA_KEY | KeyringTraceFlag.WRAPPING_KEY_VERIFIED_ENC_CTX,
        ),
      );
    } finally {
      plaintext.fill(0);
    }
  }

  /** Zeroes the library's copy of the data key, which the library does only if all went well. */
  zero(): void {
    this.#material?.zeroUnencryptedDataKey();
  }

  #trace(flags: KeyringTraceFlag) {
    return { keyNamespace: PROVIDER_ID, keyName: this.#provider.name, flags };
  }
}
