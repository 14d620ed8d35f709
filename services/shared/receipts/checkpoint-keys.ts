import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { Value } from "typebox/value";
import { BrokenReceipts } from "./broken.ts";
import { CHECKPOINT_TYPE, Checkpoint } from "./receipt.ts";

/** Public keys for checkpoints: by `kid` from a JWKS, or without one from PEM. */
export interface CheckpointKeys {
  byKid: ReadonlyMap<string, KeyObject>;
  others: readonly KeyObject[];
}

const PEM = /-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----/g;
const BASE64URL = /^[A-Za-z0-9_-]+$/;
/** A P-256 signature is two numbers of 32 bytes. */
const SIGNATURE_BYTES = 64;

/** Reads public keys: a JWKS, or one or more in PEM. Throws a TypeError for anything but P-256 public keys. */
export function readCheckpointKeys(text: string): CheckpointKeys {
  const pems = text.match(PEM) ?? [];
  if (pems.length > 0) return { byKid: new Map(), others: pems.map((pem) => checked(createPublicKey(pem))) };
  let keys: unknown;
  try {
    keys = (JSON.parse(text) as { keys?: unknown } | null)?.keys;
  } catch {
    throw new TypeError("expected public keys: PEM, or a JWKS");
  }
  if (!Array.isArray(keys) || keys.length === 0) throw new TypeError("the JWKS has no keys");
  const byKid = new Map<string, KeyObject>();
  for (const jwk of keys) {
    if (typeof jwk?.kid !== "string" || "d" in jwk) throw new TypeError("a key has no kid, or is not public");
    if (byKid.has(jwk.kid)) throw new TypeError(`two keys have the kid ${JSON.stringify(jwk.kid)}`);
    byKid.set(jwk.kid, checked(createPublicKey({ key: jwk, format: "jwk" })));
  }
  return { byKid, others: [] };
}

function checked(key: KeyObject): KeyObject {
  if (key.asymmetricKeyDetails?.namedCurve === "prime256v1") return key;
  throw new TypeError("expected keys for ES256 (P-256)");
}

/** The checkpoint that a JWS is, if one of the keys has signed it. Throws BrokenReceipts. */
export function readCheckpoint(jws: string, { byKid, others }: CheckpointKeys): Checkpoint {
  const parts = jws.split(".").map(decode);
  const [header, payload, signature] = parts;
  if (parts.length !== 3 || !header || !payload || signature?.length !== SIGNATURE_BYTES) {
    throw unreadable("it is not a compact JWS of ES256");
  }
  const { alg, typ, kid, ...more } = (json(header) ?? {}) as Record<string, unknown>;
  // Whatever else a header says would change how it is verified.
  if (alg !== "ES256" || typeof kid !== "string" || Object.keys(more).length > 0) {
    throw unreadable("its header is not that of a checkpoint");
  }
  if (typ !== CHECKPOINT_TYPE) throw unreadable("it is another kind of document");
  const known = byKid.get(kid);
  const keys = known ? [known] : others;
  if (keys.length === 0) {
    throw new BrokenReceipts(
      "unknown_key",
      `a checkpoint names a key that is not known: ${JSON.stringify(kid)}`,
    );
  }
  const input = Buffer.from(jws.slice(0, jws.lastIndexOf(".")));
  const isSigned = keys.some((key) => verify("sha256", input, { key, dsaEncoding: "ieee-p1363" }, signature));
  if (!isSigned) throw unsigned("its signature is not by a known key");
  const checkpoint = json(payload);
  if (!Value.Check(Checkpoint, checkpoint)) throw unreadable("what is signed is no checkpoint");
  return checkpoint;
}

/** What is canonical base64url; undefined for anything else. */
function decode(part: string): Buffer | undefined {
  const bytes = BASE64URL.test(part) ? Buffer.from(part, "base64url") : undefined;
  return bytes?.toString("base64url") === part ? bytes : undefined;
}

function json(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}

const unreadable = (why: string) =>
  new BrokenReceipts("checkpoint_unreadable", `a checkpoint cannot be read: ${why}`);
const unsigned = (why: string) =>
  new BrokenReceipts("checkpoint_unsigned", `a checkpoint is not the platform's: ${why}`);
