import {
  AEAD_AES_256_GCM,
  CipherSuite,
  KDF_HKDF_SHA256,
  KEM_DHKEM_P256_HKDF_SHA256,
  type RecipientContext,
} from "hpke";
import type { SealedValue } from "../work/messages.ts";
import { canonicalContext, type EncryptionContext } from "./context.ts";
import { EnvelopeRefused } from "./envelope-refused.ts";

/*
 * Sealing to a public key, for whoever has a value and no login at a key provider: a client, in Node or a browser, and
 * a worker that seals an answer to its caller. No Node module is used here.
 */

/** HPKE (RFC 9180) in base mode: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. */
export const SUITE = new CipherSuite(KEM_DHKEM_P256_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM);

/** The longest value that a client may seal, in bytes. */
export const MAX_SEALED_BYTES = 65_536;
/** The longest answer that is sealed to a caller, in bytes. */
const MAX_RESULT_BYTES = 1_048_576;
const POINT_BYTES = 65;
const PKCS8_BYTES = 138;
const ECDH = { name: "ECDH", namedCurve: "P-256" };
const TAG_BYTES = 16;
const COMMITMENT_BYTES = 32;
const COMMITMENT_LABEL = utf8("strongroom commitment");

/** What a value is sealed for: what an envelope of it would be sealed for, and the sealing key's id. */
export type SealingContext = EncryptionContext & { key: string };

/** Whose answer to which job it is. */
export interface ResultContext {
  org: string;
  job: string;
}

/** An answer that is sealed to a caller's key; base64url. */
export interface SealedResult {
  /** The encapsulated key: an uncompressed P-256 point. */
  enc: string;
  /** 16 bytes longer than the answer. */
  ciphertext: string;
}

/** A P-256 key pair. */
export interface SealingKeyPair {
  /** An uncompressed point, 65 bytes. */
  publicKey: Uint8Array;
  /** PKCS #8 with the public key, as Web Crypto and OpenSSL write it: 138 bytes, which the caller zeroes. */
  privateKey: Uint8Array;
}

/** A new key pair, to seal values or answers to. */
export async function makeSealingKeyPair(): Promise<SealingKeyPair> {
  const { publicKey, privateKey } = await SUITE.GenerateKeyPair(true);
  return {
    publicKey: await SUITE.SerializePublicKey(publicKey),
    privateKey: new Uint8Array(await crypto.subtle.exportKey("pkcs8", privateKey)),
  };
}

/**
 * Seals a value of at most {@link MAX_SEALED_BYTES} to an organization's sealing key, a point of 65 bytes. The context
 * is HPKE's `info`. AES-GCM alone does not commit to its key, so a commitment goes with the ciphertext: 32 bytes by
 * HPKE's exporter. Throws {@link EnvelopeRefused} if the key is not a point on the curve.
 */
export async function sealValue(
  publicKey: Uint8Array,
  context: SealingContext,
  plaintext: Uint8Array,
): Promise<SealedValue> {
  if (plaintext.byteLength > MAX_SEALED_BYTES) {
    throw new RangeError(`the value is longer than ${MAX_SEALED_BYTES} bytes`);
  }
  const sender = await SUITE.SetupSender(await pointOf(publicKey), { info: valueInfo(context) });
  const ciphertext = await sender.ctx.Seal(plaintext);
  const commitment = await sender.ctx.Export(COMMITMENT_LABEL, COMMITMENT_BYTES);
  return {
    key: context.key,
    enc: toBase64Url(sender.encapsulatedSecret),
    ciphertext: toBase64Url(ciphertext),
    commitment: toBase64Url(commitment),
  };
}

/**
 * Opens a value that was sealed for exactly this context with the private key's public half. The plaintext is the
 * caller's to zero. Throws {@link EnvelopeRefused}.
 */
export async function openValue(
  privateKey: Uint8Array,
  context: SealingContext,
  sealed: SealedValue,
): Promise<Uint8Array> {
  await checkSealed(sealed, context.key);
  const recipient = await recipientOf(privateKey, sealed.enc, valueInfo(context));
  const commitment = await recipient.Export(COMMITMENT_LABEL, COMMITMENT_BYTES);
  if (!isEqual(commitment, fromBase64Url(sealed.commitment))) {
    throw new EnvelopeRefused("the value was sealed for another context or with another key");
  }
  return openWith(recipient, sealed.ciphertext);
}

/**
 * Checks all of a sealed value that can be checked without the private key: it names the current key, its encapsulated
 * key is a point on the curve, each part is canonical base64url of its length. Returns the value's length in bytes.
 * Throws {@link EnvelopeRefused}, whose message says what is wrong. Nobody without the private key can check whether
 * the value opens, for which context it was sealed, or what it is.
 */
export async function checkSealed(sealed: SealedValue, currentKey: string): Promise<number> {
  if (sealed.key !== currentKey) {
    throw new EnvelopeRefused("key: not the organization's current sealing key");
  }
  const length = decode("ciphertext", sealed.ciphertext).byteLength - TAG_BYTES;
  if (length < 0 || length > MAX_SEALED_BYTES) {
    throw new EnvelopeRefused(`ciphertext: not ${TAG_BYTES} to ${MAX_SEALED_BYTES + TAG_BYTES} bytes`);
  }
  if (decode("commitment", sealed.commitment).byteLength !== COMMITMENT_BYTES) {
    throw new EnvelopeRefused(`commitment: not ${COMMITMENT_BYTES} bytes`);
  }
  await pointOf(decode("enc", sealed.enc));
  return length;
}

/**
 * Seals an answer to a caller's public key, as 65 bytes, for the job that it answers. There is no commitment: one key
 * can open it, and any HPKE library can. Throws {@link EnvelopeRefused} if the key is not a point on the curve.
 */
export async function sealResult(
  publicKey: Uint8Array,
  context: ResultContext,
  plaintext: Uint8Array,
): Promise<SealedResult> {
  if (plaintext.byteLength > MAX_RESULT_BYTES) {
    throw new RangeError(`the answer is longer than ${MAX_RESULT_BYTES} bytes`);
  }
  const { encapsulatedSecret, ciphertext } = await SUITE.Seal(await pointOf(publicKey), plaintext, {
    info: resultInfo(context),
  });
  return { enc: toBase64Url(encapsulatedSecret), ciphertext: toBase64Url(ciphertext) };
}

/** Opens an answer to a job of an organization. Throws {@link EnvelopeRefused}. */
export async function openResult(
  privateKey: Uint8Array,
  context: ResultContext,
  { enc, ciphertext }: SealedResult,
): Promise<Uint8Array> {
  return openWith(await recipientOf(privateKey, enc, resultInfo(context)), ciphertext);
}

/** Whether these bytes are an uncompressed P-256 point on the curve, to which something can be sealed. */
export async function isPublicKey(bytes: Uint8Array): Promise<boolean> {
  return pointOf(bytes).then(
    () => true,
    () => false,
  );
}

// JSON holds no line break, so no two contexts have one text.
const valueInfo = ({ key, ...context }: SealingContext): Uint8Array =>
  utf8(`strongroom sealed value\n${key}\n${canonicalContext(context)}`);
const resultInfo = ({ org, job }: ResultContext): Uint8Array => utf8(`strongroom result\n${org}\n${job}`);

async function pointOf(bytes: Uint8Array) {
  if (bytes.byteLength !== POINT_BYTES || bytes[0] !== 4) {
    throw new EnvelopeRefused("not an uncompressed P-256 point");
  }
  try {
    return await SUITE.DeserializePublicKey(bytes);
  } catch (error) {
    throw new EnvelopeRefused("not a point on the curve P-256", { cause: error });
  }
}

async function recipientOf(privateKey: Uint8Array, enc: string, info: Uint8Array): Promise<RecipientContext> {
  const encapsulated = decode("enc", enc);
  if (privateKey.byteLength !== PKCS8_BYTES) {
    throw new EnvelopeRefused("the private key is not PKCS #8 of P-256 with its public key");
  }
  try {
    const pair = {
      privateKey: await crypto.subtle.importKey("pkcs8", privateKey, ECDH, false, ["deriveBits"]),
      // PKCS #8 ends with the public key. From a raw private key alone, Web Crypto cannot derive it everywhere.
      publicKey: await SUITE.DeserializePublicKey(privateKey.slice(-POINT_BYTES)),
    };
    return await SUITE.SetupRecipient(pair, encapsulated, { info });
  } catch (error) {
    throw new EnvelopeRefused("the sealed value does not fit the private key", { cause: error });
  }
}

async function openWith(recipient: RecipientContext, ciphertext: string): Promise<Uint8Array> {
  const sealed = decode("ciphertext", ciphertext);
  try {
    return await recipient.Open(sealed);
  } catch (error) {
    throw new EnvelopeRefused("the sealed value is damaged, or was sealed for another context or key", {
      cause: error,
    });
  }
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Base64url without padding. */
export function toBase64Url(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** Decodes canonical base64url without padding. Throws {@link EnvelopeRefused}. */
export function fromBase64Url(text: string): Uint8Array {
  return decode("base64url", text);
}

function decode(name: string, text: string): Uint8Array {
  let decoded: string | undefined;
  if (/^[A-Za-z0-9_-]*$/.test(text)) {
    try {
      decoded = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    } catch {
      decoded = undefined;
    }
  }
  const bytes = decoded === undefined ? undefined : Uint8Array.from(decoded, (char) => char.charCodeAt(0));
  // Bits that the last character has too many could be anything.
  if (!bytes || toBase64Url(bytes) !== text) throw new EnvelopeRefused(`${name}: not canonical base64url`);
  return bytes;
}

/** Compares in a time that depends on the lengths alone. */
function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  let difference = one.length ^ other.length;
  for (const [index, byte] of one.entries()) difference |= byte ^ (other[index] ?? 0);
  return difference === 0;
}
