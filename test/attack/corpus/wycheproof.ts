import {
  constants,
  createPrivateKey,
  createPublicKey,
  hash,
  type JsonWebKey,
  privateEncrypt,
  publicDecrypt,
  verify,
} from "node:crypto";
import { encode, signature } from "../../harness/tokens.ts";

/** Wycheproof's file of JWS vectors, as far as it is read here. */
export interface Vectors {
  testGroups: VectorGroup[];
}

export interface VectorGroup {
  /** Absent where the key is a secret; that is `private` then. */
  public?: JsonWebKey & { alg?: string };
  private: JsonWebKey;
  tests: Vector[];
}

export interface Vector {
  tcId: number;
  comment: string;
  result: "valid" | "invalid";
  /** Compact, or an object in JSON serialization. */
  jws: unknown;
}

/**
 * A vector of RS256 or ES256 carried over to other claims by the group's private key: the header as it is
 * spelled, the claims as payload, and the same flaw. In an RSA signature, whose block holds a digest, that
 * digest becomes the claims' and all around it stays, good or flawed; a good ES256 signature is made anew;
 * any other stays as it is. Undefined for other algorithms, and where parts are missing.
 */
export function carryOver(group: VectorGroup, vector: Vector, claims: string): string | undefined {
  const { jws, result } = vector;
  const { kty } = group.public ?? {};
  const alg = kty === "RSA" ? "RS256" : kty === "EC" ? "ES256" : undefined;
  if (!alg || typeof jws !== "string" || (group.public?.alg ?? alg) !== alg) return undefined;
  const [header, payload, mac = "", ...more] = jws.split(".");
  if (!header || (!payload && result === "invalid") || more.length > 0) return undefined;
  const publicKey = createPublicKey({ key: group.public as JsonWebKey, format: "jwk" });
  const privateKey = createPrivateKey({ key: group.private, format: "jwk" });
  const before = `${header}.${payload}`;
  const after = `${header}.${encode(claims)}`;
  const bytes = Buffer.from(mac, "base64url");
  if (alg === "ES256") {
    const good = verify("sha256", Buffer.from(before), { key: publicKey, dsaEncoding: "ieee-p1363" }, bytes);
    return good ? `${after}.${signature(after, { alg, kid: "", publicKey, privateKey })}` : `${after}.${mac}`;
  }
  if (bytes.length !== 256) return `${after}.${mac}`;
  const padding = constants.RSA_NO_PADDING;
  const block = publicDecrypt({ key: publicKey, padding }, bytes);
  const at = block.indexOf(hash("sha256", before, "buffer"));
  if (at === -1) return `${after}.${mac}`;
  hash("sha256", after, "buffer").copy(block, at);
  return `${after}.${privateEncrypt({ key: privateKey, padding }, block).toString("base64url")}`;
}
