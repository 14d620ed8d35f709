import { generateKeyPairSync, type KeyObject, randomUUID, sign } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import {
  GROUPS_CLAIM,
  LOCAL_ISSUER,
  ORG_CLAIM,
  TENANT_AUDIENCE,
} from "../../services/shared/local-provider.ts";
import type { Issuer } from "../../services/shared/org.ts";

/** An issuer's entry as a directory has it. Nothing listens where its keys should be. */
export const ISSUER_ENTRY = {
  issuer: LOCAL_ISSUER,
  audience: TENANT_AUDIENCE,
  jwksUri: "http://127.0.0.1:1/jwks",
  algorithms: ["RS256" as const],
  orgClaim: ORG_CLAIM,
  groupsClaim: GROUPS_CLAIM,
} satisfies Issuer;

export type Algorithm = "RS256" | "ES256" | "EdDSA";

/** A key pair that signs test tokens, named by its `kid`. */
export interface SigningPair {
  alg: Algorithm;
  kid: string;
  privateKey: KeyObject;
  publicKey: KeyObject;
}

export function newPair(alg: Algorithm = "RS256", kid: string = randomUUID(), rsaBits = 2048): SigningPair {
  if (alg === "RS256") return { alg, kid, ...generateKeyPairSync("rsa", { modulusLength: rsaBits }) };
  if (alg === "ES256") return { alg, kid, ...generateKeyPairSync("ec", { namedCurve: "P-256" }) };
  return { alg, kid, ...generateKeyPairSync("ed25519") };
}

export const publicPem = (pair: SigningPair): string =>
  pair.publicKey.export({ type: "spki", format: "pem" }).toString();

export const publicJwk = (pair: SigningPair) => ({
  ...pair.publicKey.export({ format: "jwk" }),
  kid: pair.kid,
  alg: pair.alg,
  use: "sig",
});

/** Any value, or the text itself, as base64url. */
export const encode = (value: unknown): string =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

/** The signature (base64url) of a signing input. */
export function signature(input: string, { alg, privateKey }: SigningPair): string {
  const digest = alg === "EdDSA" ? null : "sha256";
  return sign(digest, Buffer.from(input), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString(
    "base64url",
  );
}

/** A compact JWS of any header and payload, well-formed or not: what is a string stands as it is. */
export function compact(header: unknown, payload: unknown, pair: SigningPair): string {
  const input = `${encode(header)}.${encode(payload)}`;
  return `${input}.${signature(input, pair)}`;
}

export type ClaimChanges = Record<string, unknown>;

/** An issuer with a JWKS address of its own on loopback. */
export interface TestIssuer {
  issuer: Issuer;
  pair: SigningPair;
  /** What is served; change it to rotate. */
  keys: SigningPair[];
  /** Served in place of the keys, where set. */
  answer?: unknown;
  /** How often the keys were fetched. */
  fetches: number;
  /** Good claims for 5 minutes, with changes; one that is undefined is left out. */
  claims(changes?: ClaimChanges): Record<string, unknown>;
  /** A token of {@link claims}, signed by `pair`. */
  token(changes?: ClaimChanges, header?: Record<string, unknown>): string;
  /** Stops answering; connections are refused. */
  down(): Promise<void>;
  /** Answers again, at the same address. */
  up(): Promise<void>;
  close(): Promise<void>;
}

/** Starts an issuer; `changes` go over its entry for the directory. */
export async function startIssuer(
  changes: Partial<Issuer> = {},
  pair: SigningPair = newPair("RS256"),
): Promise<TestIssuer> {
  let server: Server | undefined;
  let port = 0;
  const up = () =>
    new Promise<void>((resolve, reject) => {
      const started = createServer((_request, response) => {
        self.fetches++;
        response.setHeader("Content-Type", "application/json");
        response.setHeader("Connection", "close");
        response.end(JSON.stringify(self.answer ?? { keys: self.keys.map(publicJwk) }));
      });
      started.on("error", reject).listen(port, "127.0.0.1", () => {
        port = (started.address() as AddressInfo).port;
        resolve();
      });
      server = started;
    });
  const down = () =>
    new Promise<void>((resolve) => {
      if (!server) return resolve();
      server.closeAllConnections();
      server.close(() => resolve());
      server = undefined;
    });
  const self: TestIssuer = {
    issuer: {
      issuer: LOCAL_ISSUER,
      audience: TENANT_AUDIENCE,
      jwksUri: "http://unset",
      algorithms: [pair.alg],
      orgClaim: ORG_CLAIM,
      groupsClaim: GROUPS_CLAIM,
    },
    pair,
    keys: [pair],
    fetches: 0,
    claims: (claimChanges = {}) => {
      const iat = Math.floor(Date.now() / 1000);
      const { issuer, audience } = self.issuer;
      const good = { iss: issuer, aud: audience, sub: "u1", iat, exp: iat + 300, [ORG_CLAIM]: "org_acme" };
      return JSON.parse(JSON.stringify({ ...good, ...claimChanges }));
    },
    token: (claimChanges, header) =>
      compact({ alg: pair.alg, typ: "JWT", kid: pair.kid, ...header }, self.claims(claimChanges), pair),
    down,
    up,
    close: down,
  };
  await up();
  self.issuer = { ...self.issuer, jwksUri: `http://127.0.0.1:${port}/jwks`, ...changes };
  return self;
}

/** The same token with one bit of it changed in a part (0 header, 1 payload, 2 signature). */
export function tamper(token: string, part: 0 | 1 | 2): string {
  const parts = token.split(".");
  const bytes = Buffer.from(parts[part] ?? "", "base64url");
  const at = Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  parts[part] = bytes.toString("base64url");
  return parts.join(".");
}

/**
 * The same signature spelled otherwise: the unused bits of the last character set. Undefined where the
 * signature's length leaves none unused.
 */
export function respell(token: string): string | undefined {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const signaturePart = token.split(".")[2] ?? "";
  if (signaturePart.length % 4 === 0) return undefined;
  const last = token.at(-1) ?? "";
  return token.slice(0, -1) + alphabet[alphabet.indexOf(last) | 1];
}
