import { Type } from "typebox";
import { Value } from "typebox/value";
import { StrongroomError } from "../../shared/errors.ts";
import type { Identity } from "../../shared/front/identity/authenticator.ts";
import { requireLevel } from "../../shared/front/levels.ts";
import { Secret } from "../../shared/secret.ts";
import { exchange } from "./exchange.ts";
import { TOKEN_LEFT_MS } from "./forward.ts";
import { unavailable } from "./server-error.ts";
import type { Upstream } from "./upstreams.ts";

/** How long a Vault token is kept, from the start of its login. It lives 60 s, or 59 by Vault's rounding. */
const KEEP_MS = 59_000 - TOKEN_LEFT_MS;
const SWEEP_MS = 2_000;

const LoginAnswer = Type.Object({ auth: Type.Object({ client_token: Type.String({ minLength: 1 }) }) });

interface CachedLogin {
  upstream: Upstream;
  token: Secret;
  expiresAt: number;
}

export interface LoginsOptions {
  /** Maximum number of tokens kept; the oldest are dropped first. */
  maxKept: number;
  /** Milliseconds since 1970; the system's clock by default. */
  now?: () => number;
}

/**
 * Logs callers in at their organization's Vault with their own JWTs, and keeps each token for further requests with the
 * same JWT: until the JWT expires, and never for longer than 55 seconds.
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
   * A Vault token for the identity. Concurrent requests with one JWT share one login. Throws `forbidden` if Vault
   * refuses the JWT, `org_vault_sealed` or `org_vault_unavailable` if it cannot answer.
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

  /** The Vault token kept for an identity, if any. */
  kept(upstream: Upstream, identity: Pick<Identity, "key">): Secret | undefined {
    const kept = this.#kept.get(nameOf(upstream.id, identity));
    return kept?.upstream === upstream && kept.expiresAt > this.#now() ? kept.token : undefined;
  }

  /** Forgets an identity's token at once. */
  forget(org: string, identity: Pick<Identity, "key">): void {
    this.#kept.delete(nameOf(org, identity));
  }

  /** Forgets expired tokens. */
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
    const token = await logIn(upstream, requireLevel(identity), identity, requestId);
    const expiresAt = Math.min(begun + KEEP_MS, identity.expiresAt * 1000);
    this.#kept.delete(name);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size >= this.#maxKept && oldest !== undefined) this.#kept.delete(oldest);
    this.#kept.set(name, { upstream, token, expiresAt });
    return token;
  }
}

const nameOf = (org: string, { key }: Pick<Identity, "key">): string => `${org}\n${key}`;

/**
 * Logs in to an organization's Vault by a role of its mount `jwt`, and keeps nothing. Throws as {@link Logins} does.
 */
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
  // Other 4xx are not about the JWT: too many requests, or a mount that does not exist yet.
  if (status >= 400) throw unavailable(`login ${status}`);
  return new Secret(parseToken(text));
}

function parseToken(text: string): string {
  try {
    return Value.Parse(LoginAnswer, JSON.parse(text)).auth.client_token;
  } catch {
    // Nothing of the answer goes into the error: it may contain the token.
    const detail = "The organization's Vault returned an unusable response. Try again in a moment.";
    throw new StrongroomError("org_vault_unavailable", detail);
  }
}
