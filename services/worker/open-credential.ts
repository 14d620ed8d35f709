import { type EncryptionContext, sealingKeyContext } from "../shared/envelope/context.ts";
import { open } from "../shared/envelope/envelope.ts";
import type { KeyProvider } from "../shared/envelope/key-provider.ts";
import { openValue } from "../shared/envelope/sealing.ts";
import type { Material } from "../shared/work/messages.ts";

/**
 * Opens a credential, whether it is in an envelope or was sealed by a client. The caller zeroes the bytes. Throws
 * EnvelopeRefused and KeyProviderError.
 */
export async function openCredential(
  keys: KeyProvider,
  context: EncryptionContext,
  material: Material,
): Promise<Uint8Array> {
  if ("envelope" in material) return await open(keys, context, fromBase64(material.envelope));
  const { sealed, privateKey: wrapped } = material;
  const keyContext = sealingKeyContext(context.org, sealed.key, context.purpose);
  const privateKey = await open(keys, keyContext, fromBase64(wrapped));
  try {
    return await openValue(privateKey, { ...context, key: sealed.key }, sealed);
  } finally {
    privateKey.fill(0);
  }
}

/** Bytes in a buffer of their own, not in Node's shared pool. */
export const fromBase64 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "base64"));
