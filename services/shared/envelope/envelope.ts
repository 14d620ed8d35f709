import type { Duplex } from "node:stream";
import { buildDecrypt } from "@aws-crypto/decrypt-node";
import { buildEncrypt } from "@aws-crypto/encrypt-node";
import { CommitmentPolicy } from "@aws-crypto/material-management-node";
import { contextMembers, type EncryptionContext } from "./context.ts";
import { EnvelopeRefused } from "./envelope-refused.ts";
import { type KeyProvider, KeyProviderError } from "./key-provider.ts";
import { isContext, ProviderKeyring, SUITE } from "./keyring.ts";

export { EnvelopeRefused } from "./envelope-refused.ts";

/** The longest plaintext, in bytes. */
export const MAX_PLAINTEXT_BYTES = 1_048_576;
/** The longest envelope, in bytes: header and tag of one frame take less than the difference. */
const MAX_ENVELOPE_BYTES = MAX_PLAINTEXT_BYTES + 8_192;
/** Longer than any plaintext: each envelope has exactly one frame. */
const FRAME_BYTES = MAX_PLAINTEXT_BYTES + 1;

const settings = {
  commitmentPolicy: CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
  maxEncryptedDataKeys: 1,
};
const { encrypt } = buildEncrypt(settings);
const { decryptUnsignedMessageStream } = buildDecrypt(settings);

/**
 * Seals 0 to {@link MAX_PLAINTEXT_BYTES} bytes for a context, with a new data key of the provider. The result is a
 * message of the AWS Encryption SDK (format 2, suite 0x0478: key commitment, no signature, one frame), with the context
 * in clear. It is 150 bytes longer than the plaintext, the context (with 4 more a member), the provider's name and the
 * encrypted data key together. Throws {@link KeyProviderError}. The plaintext stays the caller's to zero.
 */
export async function seal(
  provider: KeyProvider,
  context: EncryptionContext,
  plaintext: Uint8Array,
): Promise<Uint8Array> {
  if (plaintext.byteLength > MAX_PLAINTEXT_BYTES) {
    throw new RangeError(`the plaintext is longer than ${MAX_PLAINTEXT_BYTES} bytes`);
  }
  const keyring = new ProviderKeyring(provider, context);
  try {
    const { result } = await encrypt(keyring, plaintext, {
      suiteId: SUITE,
      frameLength: FRAME_BYTES,
      encryptionContext: contextMembers(context),
    });
    return new Uint8Array(result);
  } finally {
    keyring.zero();
  }
}

/**
 * Opens an envelope that was sealed for exactly this context with this provider's key. The plaintext is in an
 * ArrayBuffer of its own, which the caller zeroes after use. Throws {@link EnvelopeRefused} if the envelope will never
 * open, and {@link KeyProviderError}, `forbidden` or `unavailable`, if the provider does not answer with the data key.
 */
export async function open(
  provider: KeyProvider,
  context: EncryptionContext,
  envelope: Uint8Array,
): Promise<Uint8Array> {
  if (envelope.byteLength > MAX_ENVELOPE_BYTES) throw new EnvelopeRefused("the envelope is too long");
  const keyring = new ProviderKeyring(provider, context);
  const stream = decryptUnsignedMessageStream(keyring, { maxBodySize: FRAME_BYTES });
  try {
    return await readMessage(stream, context, envelope);
  } catch (error) {
    if (error instanceof EnvelopeRefused) throw error;
    if (error instanceof KeyProviderError && error.reason !== "refused") throw error;
    const message =
      error instanceof KeyProviderError
        ? "the key provider does not open the envelope's data key for this context"
        : "the envelope is damaged";
    throw new EnvelopeRefused(message, { cause: error });
  } finally {
    keyring.zero();
  }
}

/** What is compared of a message's header, once its tag was verified. */
interface MessageHeader {
  suiteId: number;
  encryptionContext: Record<string, string>;
  encryptedDataKeys: { providerId: string; providerInfo: string; encryptedDataKey: Uint8Array }[];
}

/** What a message has beside its context, its encrypted data key and the ciphertext: fixed fields and two tags. */
const FIXED_BYTES = 140;

/** How many bytes a message of one frame has beside its ciphertext. */
function overhead({ encryptionContext, encryptedDataKeys }: MessageHeader): number {
  const members = Object.entries(encryptionContext).flatMap(([name, value]) => [4, name, value]);
  const keys = encryptedDataKeys.flatMap((key) => [key.providerId, key.providerInfo]);
  const encrypted = encryptedDataKeys.map((key) => key.encryptedDataKey.byteLength);
  return [FIXED_BYTES, ...members, ...keys, ...encrypted]
    .map((part) => (typeof part === "string" ? Buffer.byteLength(part) : part))
    .reduce((sum, bytes) => sum + bytes, 0);
}

/** Sends a message through the stream that opens it. Zeroes the stream's own copies of the plaintext. */
async function readMessage(
  stream: Duplex,
  context: EncryptionContext,
  envelope: Uint8Array,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  try {
    const header = await new Promise<MessageHeader | undefined>((resolve, reject) => {
      let seen: MessageHeader | undefined;
      stream
        .once("MessageHeader", (header: MessageHeader) => {
          seen = header;
        })
        .on("data", (piece: Uint8Array) => pieces.push(piece))
        // Stays, since one failure may be emitted several times, and nobody else listens.
        .on("error", reject)
        .once("end", () => resolve(seen));
      stream.end(envelope);
    });
    if (!header || header.suiteId !== SUITE || !isContext(header.encryptionContext, context)) {
      throw new EnvelopeRefused("the envelope was sealed for another context");
    }
    const plaintext = new Uint8Array(pieces.reduce((length, piece) => length + piece.byteLength, 0));
    // The library ignores what follows the last frame.
    if (envelope.byteLength !== overhead(header) + plaintext.byteLength) {
      throw new EnvelopeRefused("the envelope is damaged");
    }
    let at = 0;
    for (const piece of pieces) {
      plaintext.set(piece, at);
      at += piece.byteLength;
    }
    return plaintext;
  } finally {
    for (const piece of pieces) piece.fill(0);
  }
}
