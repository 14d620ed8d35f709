import { Type } from "typebox";
import { Value } from "typebox/value";
import { StrongroomError } from "../../shared/errors.ts";
import type { Identity } from "../../shared/front/identity/authenticator.ts";
import { LEVELS, type Level } from "../../shared/org.ts";
import { Secret } from "../../shared/secret.ts";
import { exchange } from "./exchange.ts";
import { TOKEN_LEFT_MS } from "./forward.ts";
import { unavailable } from "./server-error.ts";
import type { Upstream } from "./upstreams.ts";

/** A Vault token is kept no longer than this after its login was begun; it lives for 60 s, which may be 59. */
const KEEP_MS = 59_000 - TOKEN_LEFT_MS;
const SWEEP_MS = 2_000;

const LoginAnswer = Type.Object({ auth: Type.Object({ client_token: Type.String({ minLength: 1 }) }) });

interface CachedLogin {
  upstream: Upstream;
  token: Secret;
  expiresAt: number;
}

export interface LoginsOptions {
  /** How many tokens are kept at most; beyond it the oldest go first. */
  maxKept: number;
  /** Milliseconds since 1970; the system's clock by default. */
  now?: () => number;
}

/** The highest level that a token's groups show. */
export const levelOf = ({ groups }: Pick<Identity, "groups">): Level =>
  LEVELS.findLast((level) => groups.includes(level)) ?? "reader";

/**
 * Logs callers in at their organization's Vault with their own JWTs, and keeps each token for the JWT's
 * further requests: until the JWT ends, and never for longer than 55 seconds.
 */
export class Logins {
  readonly #kept = new Map<string, CachedLogin>();
  readonly #pending = new Map<string, Promise<Secret>>();
  readonly #maxKept: number;
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;

  constructor({ maxKept, now = Date.now }: LoginsOptions) {
    this.#maxKept = maxKept;
    this.#now = now;
    this.#timer = setInterval(() => this.sweep(), SWEEP_MS).unref();
  }

  /**
   * A Vault token for the identity. Many requests with one JWT share one login. Throws `forbidden` where
   * Vault refuses the JWT, `org_vault_sealed` or `org_vault_unavailable` where it cannot answer.
   */
  async tokenFor(upstream: Upstream, identity: Identity, requestId: string): Promise<Secret> {
    const kept = this.kept(upstream, identity);
    if (kept) return kept;
    const name = nameOf(upstream.id, identity);
    const pendingName = `${upstream.address}\n${name}`;
    let pending = this.#pending.get(pendingName);
    if (!pending) {
      pending = this.#login(name, upstream, identity, requestId).finally(() =>
        this.#pending.delete(pendingName),
      );
      this.#pending.set(pendingName, pending);
    }
    return await pending;
  }

  /** The Vault token that an identity has already. */
  kept(upstream: Upstream, identity: Pick<Identity, "key">): Secret | undefined {
    const kept = this.#kept.get(nameOf(upstream.id, identity));
    return kept?.upstream === upstream && kept.expiresAt > this.#now() ? kept.token : undefined;
  }

  /** Forgets an identity's token at once. */
  forget(org: string, identity: Pick<Identity, "key">): void {
    this.#kept.delete(nameOf(org, identity));
  }

  /** Forgets the tokens whose time is over. */
  sweep(): void {
    const now = this.#now();
    for (const [name, { expiresAt }] of this.#kept) if (expiresAt <= now) this.#kept.delete(name);
  }

  /** How many tokens are kept. */
  get size(): number {
    return this.#kept.size;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#kept.clear();
  }

  async #login(name: string, upstream: Upstream, identity: Identity, requestId: string): Promise<Secret> {
    const begun = this.#now();
    const token = await logIn(upstream, levelOf(identity), identity, requestId);
    const expiresAt = Math.min(begun + KEEP_MS, identity.expiresAt * 1000);
    this.#kept.delete(name);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size >= this.#maxKept && oldest !== undefined) this.#kept.delete(oldest);
    this.#kept.set(name, { upstream, token, expiresAt });
    return token;
  }
}

const nameOf = (org: string, { key }: Pick<Identity, "key">): string => `${org}\n${key}`;

/** A token of an organization's Vault by a role of its mount `jwt`, not kept. Throws as {@link Logins} does. */
export async function logIn(
  upstream: Upstream,
  role: string,
  { token }: Identity,
  requestId: string,
): Promise<Secret> {
  const body = JSON.stringify({ role, jwt: token.reveal() });
  const { status, text } = await exchange(upstream, "/v1/auth/jwt/login", body, requestId);
  if (status === 400 || status === 403)
    throw new StrongroomError("forbidden", "permission denied", { cause: `login ${status}` });
  // Anything else that is no success is not about the JWT: too many requests, a path that is not there (yet).
  if (status >= 400) throw unavailable(`login ${status}`);
  return new Secret(parseToken(text));
}

function parseToken(text: string): string {
  try {
    return Value.Parse(LoginAnswer, JSON.parse(text)).auth.client_token;
  } catch {
    // Nothing of the answer goes into the error: it may hold the token.
    throw new StrongroomError("org_vault_unavailable", "The organization's Vault gave no usable answer.");
  }
}
