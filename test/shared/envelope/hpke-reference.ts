import { createCipheriv, createDecipheriv, createECDH, createHmac } from "node:crypto";

/**
 * HPKE's receiving side in base mode, written from RFC 9180 over Node's own primitives and independent of the library:
 * DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
 */

const KEM_SUITE = Buffer.concat([Buffer.from("KEM"), Buffer.from([0x00, 0x10])]);
const HPKE_SUITE = Buffer.concat([Buffer.from("HPKE"), Buffer.from([0x00, 0x10, 0x00, 0x01, 0x00, 0x02])]);

const hmac = (key: Uint8Array, ...parts: Uint8Array[]) =>
  parts.reduce((mac, part) => mac.update(part), createHmac("sha256", key)).digest();

const labeledExtract = (suite: Buffer, salt: Uint8Array, label: string, ikm: Uint8Array) =>
  hmac(salt, Buffer.from("HPKE-v1"), suite, Buffer.from(label), ikm);

function labeledExpand(
  suite: Buffer,
  prk: Uint8Array,
  label: string,
  info: Uint8Array,
  length: number,
): Buffer {
  const size = Buffer.from([length >> 8, length & 255]);
  const labeled = Buffer.concat([size, Buffer.from("HPKE-v1"), suite, Buffer.from(label), info]);
  let block = Buffer.alloc(0);
  let out = Buffer.alloc(0);
  for (let n = 1; out.length < length; n++) {
    block = hmac(prk, block, labeled, Buffer.from([n]));
    out = Buffer.concat([out, block]);
  }
  return out.subarray(0, length);
}

/** What a recipient derives. */
export interface Derived {
  key: Buffer;
  nonce: Buffer;
  export(context: Uint8Array, length: number): Buffer;
}

export function derive(privateKey: Uint8Array, enc: Uint8Array, info: Uint8Array): Derived {
  const none = new Uint8Array();
  const own = createECDH("prime256v1");
  own.setPrivateKey(privateKey);
  const kemContext = Buffer.concat([enc, own.getPublicKey()]);
  const extracted = labeledExtract(KEM_SUITE, none, "eae_prk", own.computeSecret(enc));
  const shared = labeledExpand(KEM_SUITE, extracted, "shared_secret", kemContext, 32);
  const schedule = Buffer.concat([
    Buffer.from([0]),
    labeledExtract(HPKE_SUITE, none, "psk_id_hash", none),
    labeledExtract(HPKE_SUITE, none, "info_hash", info),
  ]);
  const secret = labeledExtract(HPKE_SUITE, shared, "secret", none);
  const exporter = labeledExpand(HPKE_SUITE, secret, "exp", schedule, 32);
  return {
    key: labeledExpand(HPKE_SUITE, secret, "key", schedule, 32),
    nonce: labeledExpand(HPKE_SUITE, secret, "base_nonce", schedule, 12),
    export: (context, length) => labeledExpand(HPKE_SUITE, exporter, "sec", context, length),
  };
}

/** Opens the first message. Throws if its tag is wrong. */
export function openFirst({ key, nonce }: Derived, ciphertext: Uint8Array): Buffer {
  const decipher = createDecipheriv("aes-256-gcm", key, nonce).setAuthTag(ciphertext.subarray(-16));
  return Buffer.concat([decipher.update(ciphertext.subarray(0, -16)), decipher.final()]);
}

/** Seals a first message as the sender of the same secret would. */
export function sealFirst({ key, nonce }: Derived, plaintext: Uint8Array): Buffer {
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}
