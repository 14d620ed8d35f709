import type { JWK } from "jose";

/** A public key for verification: ES256, with the `kid` that its signatures have. */
export type PublicJwk = JWK & { kid: string };

/**
 * Signs with an ECDSA P-256 key that never leaves its provider: the internal Vault's `transit`, or `kms`. Both throw
 * KeyProviderError.
 */
export interface Signer {
  /** Identifies provider and key, such as `transit:receipts`. */
  readonly name: string;
  /** A compact JWS (ES256) over the payload as JSON, by the newest version of the key; `kid` names key and version. */
  sign(typ: string, payload: object): Promise<string>;
  /** The public keys of all versions, oldest first. */
  publicKeys(): Promise<PublicJwk[]>;
}

/** What a JWS signs: its header and payload, encoded. */
export const signingInput = (header: { typ: string; kid: string }, payload: object): string =>
  `${encode({ alg: "ES256", ...header })}.${encode(payload)}`;

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
