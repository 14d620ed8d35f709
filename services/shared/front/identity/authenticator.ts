import { createHash, hash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import fastifyJwt from "@fastify/jwt";
import type { Logger } from "pino";
import type { Server } from "../../http/server.ts";
import type { Issuer } from "../../org.ts";
import { Secret } from "../../secret.ts";
import { takeApart } from "./canonical-form.ts";
import { type Claims, checkClaims } from "./claims.ts";
import { IssuerKeys } from "./issuer-keys.ts";
import { TokenRefused } from "./refused.ts";
import { requestToken } from "./token.ts";

/** The identity in a verified token. */
export interface Identity extends Claims {
  issuer: Issuer;
  /** A digest of issuer and subject, for logs. */
  subjectHash: string;
  /** SHA-256 of the signing input (base64url): one per JWT, though a JWT can have several valid signatures. */
  key: string;
  /** The JWT itself. */
  token: Secret;
}

export interface IdentityOptions {
  /** The issuers trusted now. Must return the same array until one of them changes. */
  issuers: () => readonly Issuer[];
  logger: Logger;
  /** The longest lifetime (`exp − iat`) a token may have, in seconds. */
  maxLifetimeSeconds: number;
  /** Milliseconds since 1970; the system's clock by default. */
  now?: () => number;
}

/** Verifies the tokens of a service's requests. */
export interface Authenticator {
  /**
   * Verifies a token. Throws TokenRefused (401), or StrongroomError `issuer_keys_unreachable` (503) if the token's
   * issuer is trusted but its keys have never been fetched, or not for a day.
   */
  verify(token: string): Promise<Identity>;
  /** The identity in a request's token, if it was verified before and is still valid. Synchronous. */
  recall(request: IncomingMessage): Identity | undefined;
  /** Fetches the keys of new issuers, so that the first request need not wait for them. */
  prefetchKeys(): Promise<void>;
}

/** Maximum number of verified tokens whose claims are kept, by the token's digest; the token itself is not kept. */
const MAX_REMEMBERED = 10_000;

interface Remembered {
  identity: Omit<Identity, "token">;
  /** What it was verified against; if either has changed, it is verified again. */
  issuers: readonly Issuer[];
  keySet: unknown;
  keys: IssuerKeys;
}

/**
 * Registers @fastify/jwt on a server, which verifies signatures. Call it once per server, before the routes.
 */
export function registerIdentity(app: Server, options: IdentityOptions): Authenticator {
  app.register(fastifyJwt, { secret: refuseUnkeyed });
  const authenticator = createAuthenticator(options, (token, key) => checkSignature(app, token, key));
  app.addHook("onClose", async () => authenticator.close());
  return authenticator;
}

/** Returns the claims of a token, whose signature it verifies with the key (PEM). Throws TokenRefused. */
export type CheckSignature = (
  token: string,
  key: string,
) => Record<string, unknown> | Promise<Record<string, unknown>>;

/**
 * Closes the gaps of what verifies signatures: the canonical form is checked before it, issuer and algorithm are compared
 * with our own list before any key is fetched, and the claims are checked after it.
 */
export function createAuthenticator(
  options: IdentityOptions,
  checkSignature: CheckSignature,
): Authenticator & { close(): void } {
  const { logger, issuers: currentIssuers, maxLifetimeSeconds, now = Date.now } = options;
  const keysOf = new Map<string, IssuerKeys>();
  const remembered = new Map<string, Remembered>();
  let known: readonly Issuer[] = [];

  /** The issuers; updates their keys, and drops those of removed issuers. */
  function issuers(): readonly Issuer[] {
    const list = currentIssuers();
    if (list === known) return known;
    known = list;
    const uris = new Set(list.map((issuer) => issuer.jwksUri));
    for (const [uri, keys] of keysOf) {
      if (uris.has(uri)) continue;
      keys.close();
      keysOf.delete(uri);
    }
    for (const uri of uris) if (!keysOf.has(uri)) keysOf.set(uri, new IssuerKeys(uri, { logger, now }));
    return known;
  }

  /** The trusted issuer that a token names, with its keys. Throws TokenRefused, also for an algorithm not allowed. */
  function trust(payload: Record<string, unknown>, header: { alg: string }) {
    const issuer = issuers().find(({ issuer }) => issuer === payload.iss);
    const keys = issuer && keysOf.get(issuer.jwksUri);
    if (!keys) throw new TokenRefused("issuer_unknown");
    if (!(issuer.algorithms as string[]).includes(header.alg))
      throw new TokenRefused("algorithm_not_allowed");
    return { issuer, keys };
  }

  /** Form, issuer, key, signature, claims, in this order. */
  async function verifyAnew(token: string): Promise<Remembered> {
    const { header, payload, signingInput } = takeApart(token);
    const { issuer, keys } = trust(payload, header);
    const list = issuers();
    const key = await keys.find(header);
    const keySet = keys.current;
    const verified = await checkSignature(token, key);
    const claims = checkClaims(verified, issuer, now() / 1000, maxLifetimeSeconds);
    const identity = {
      ...claims,
      issuer,
      subjectHash: hash("sha256", `${issuer.issuer}\n${claims.subject}`, "hex").slice(0, 16),
      key: createHash("sha256").update(signingInput).digest("base64url"),
    };
    return { identity, issuers: list, keySet, keys };
  }

  /** The remembered token with this digest, if it was verified against the current issuers and keys. */
  function find(digest: string): Remembered | undefined {
    const found = remembered.get(digest);
    return found?.issuers === issuers() && found.keySet === found.keys.current ? found : undefined;
  }

  const isExpired = ({ identity }: Remembered): boolean => now() >= identity.expiresAt * 1000;
  const speaksFor = ({ identity }: Remembered, token: string): Identity => ({
    ...identity,
    token: new Secret(token),
  });

  return {
    recall(request) {
      let token: string;
      try {
        token = requestToken(request);
      } catch {
        return undefined; // the `token` check reads it again, and throws the reason
      }
      const found = find(hash("sha256", token, "base64url"));
      return found && !isExpired(found) ? speaksFor(found, token) : undefined;
    },

    async verify(token) {
      const digest = hash("sha256", token, "base64url");
      let found = find(digest);
      if (!found) {
        found = await verifyAnew(token);
        remembered.delete(digest);
        const [oldest] = remembered.keys();
        if (remembered.size >= MAX_REMEMBERED && oldest !== undefined) remembered.delete(oldest);
        remembered.set(digest, found);
      } else if (isExpired(found)) {
        remembered.delete(digest);
        throw new TokenRefused("expired");
      }
      return speaksFor(found, token);
    },

    async prefetchKeys() {
      issuers();
      const empty = [...keysOf.values()].filter((keys) => keys.current === undefined);
      await Promise.all(empty.map((keys) => keys.reload()));
    },

    close() {
      for (const keys of keysOf.values()) keys.close();
    },
  };
}

/** The plugin's default key, which must never be used. */
const refuseUnkeyed = () => Promise.reject(new Error("a token must be verified with its issuer's key"));

/** The claims of a token, whose signature is verified with the key (PEM). Throws TokenRefused. */
function checkSignature(app: Server, token: string, key: string): Record<string, unknown> {
  try {
    return app.jwt.verify(token, {
      key,
      algorithms: ["RS256", "ES256", "EdDSA"],
      // checkClaims checks all claims, including times, in one place and by one clock.
      ignoreExpiration: true,
      ignoreNotBefore: true,
    });
  } catch (error) {
    throw new TokenRefused("signature", error);
  }
}
