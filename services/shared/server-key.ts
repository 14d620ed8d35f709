import { createHash, type KeyObject } from "node:crypto";
import { Type } from "typebox";

/** Digest of the key that an organization's Vault keeps for life, by which a gateway recognizes it. */
export const KeyDigest = Type.String({
  pattern: "^[A-Za-z0-9_-]{43}$",
  description: "SHA-256 of a public key (DER of its SubjectPublicKeyInfo), base64url",
});

/** The {@link KeyDigest} of a public key. */
export const keyDigest = (key: KeyObject): string =>
  createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest("base64url");
