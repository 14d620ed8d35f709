import { createHmac } from "node:crypto";
import { encode, type SigningPair, signature, type TestIssuer } from "../../harness/tokens.ts";

/** Who there is in the world of the token corpus. */
export interface TokenWorld {
  /** Issuers in the gateway's directory, one an algorithm, each with an organization `org_acme`. */
  rs: TestIssuer;
  es: TestIssuer;
  ed: TestIssuer;
  /** The attacker's own issuer: up, and in no directory. */
  evil: TestIssuer;
  /** A certificate that chains to the platform's own authority, and its key, both PEM. */
  certificate: { certificate: string; key: string };
}

/** Named tokens. */
export type Tokens = Record<string, string>;

/** One kind of attack by a token. */
export interface TokenClass {
  name: string;
  /** Tokens that differ from the hostile ones in the attacked property alone. They must be accepted. */
  control(world: TokenWorld): Tokens;
  hostile(world: TokenWorld): Tokens | Promise<Tokens>;
  /** Whether the hostile ones are good and only name no organization. */
  unknownOrg?: true;
}

export const seconds = (): number => Math.floor(Date.now() / 1000);

/** The header that an issuer's good token has, with changes. */
export const headerOf = (issuer: TestIssuer, changes: Record<string, unknown> = {}) => ({
  alg: issuer.pair.alg,
  typ: "JWT",
  kid: issuer.pair.kid,
  ...changes,
});

/** A compact JWS over two parts as they stand, signed by a pair. */
export const signed = (header64: string, payload64: string, pair: SigningPair): string => {
  const input = `${header64}.${payload64}`;
  return `${input}.${signature(input, pair)}`;
};

/** A token of the issuer's own claims whose signature is an HMAC. */
export function hmacSigned(issuer: TestIssuer, alg: string, secret: string | Buffer, kid?: unknown): string {
  const input = `${encode(headerOf(issuer, { alg, ...(kid !== undefined && { kid }) }))}.${encode(issuer.claims())}`;
  return `${input}.${createHmac(`sha${alg.slice(2)}`, secret)
    .update(input)
    .digest("base64url")}`;
}

/** A name for each value, and a token made of it. */
export function each<T>(values: readonly T[], make: (value: T) => string, prefix = ""): Tokens {
  return Object.fromEntries(
    values.map((value, i) => [`${prefix}${i}: ${label(value)}`.slice(0, 120), make(value)] as const),
  );
}

const label = (value: unknown): string =>
  typeof value === "string" ? JSON.stringify(value) : (JSON.stringify(value) ?? String(value));
