import { hash } from "node:crypto";
import type { SealedCredential } from "../../../shared/broker/calls.ts";
import type { Grant } from "../../../shared/broker/grant.ts";
import { type AskedToken, type Narrowed, narrow } from "../../../shared/broker/narrow.ts";
import { type BrokerPolicy, brokerPolicyHash } from "../../../shared/broker/policy.ts";
import { canonicalJson } from "../../../shared/canonical-json.ts";
import type { KeyProvider } from "../../../shared/envelope/key-provider.ts";
import type { Exchange } from "../../outbound/exchange.ts";
import { openSealed } from "../sealed-credential.ts";
import { UseFailure } from "../use-failure.ts";
import { clientCredentials } from "./client-credentials.ts";
import { githubApp } from "./github-app.ts";
import { type HeldToken, HeldTokens, type TokenOwner } from "./held-tokens.ts";
import { checkIssued, type GrantRun, type Issued } from "./issued.ts";
import { jwtBearer } from "./jwt-bearer.ts";
import { refreshToken } from "./refresh-token.ts";
import { Refusals } from "./refusals.ts";
import { type CredentialVersion, Replacements } from "./replacements.ts";
import { stsAssumeRole } from "./sts-assume-role.ts";
import { tokenExchange } from "./token-exchange.ts";

/** What a call for a token finds: the token, or that the credential has a new value, which must be stored first. */
export type Obtained =
  | { token: HeldToken }
  | { replaced: { version: number; envelope: string; refused?: UseFailure } };

/** What is wanted of a credential of an organization. */
export interface TokenWish {
  org: string;
  credential: SealedCredential;
  asked: AskedToken;
  /** Whether the provider may be asked, if the token is not in memory. */
  mayExchange: boolean;
  /** Called before anything is sent to the provider. */
  sends?: () => void;
}

/** A credential without its value. */
type Described = Omit<SealedCredential, "material">;
type Owner = CredentialVersion & TokenOwner;

const SWEEP_MS = 60_000;

/** Turns credentials into short-lived tokens, and keeps those in memory while they may be used. */
export class Tokens {
  readonly #keys: KeyProvider;
  readonly #exchange: Exchange;
  readonly #now: () => number;
  readonly #held = new HeldTokens();
  readonly #replacements: Replacements;
  /** What is being asked of providers; a second call for the same waits. */
  readonly #running = new Map<string, { wishKey: string; run: Promise<Obtained> }>();
  readonly #refusals = new Refusals();
  readonly #timer: NodeJS.Timeout;

  /** `now` is milliseconds since 1970. */
  constructor(keys: KeyProvider, exchange: Exchange, now: () => number = Date.now) {
    this.#keys = keys;
    this.#exchange = exchange;
    this.#now = now;
    this.#replacements = new Replacements(keys, now);
    this.#timer = setInterval(() => {
      this.#held.sweep(now());
      this.#replacements.sweep();
    }, SWEEP_MS).unref();
  }

  /** The token for uses of a credential, all that its policy allows, if there is one in memory. */
  accessToken(org: string, credential: Described): string | undefined {
    const { grant } = credential.policy;
    if (!grant) return undefined;
    const narrowed = allowedOf(grant, {});
    const owner = ownerOf(org, credential);
    if (this.#replacements.has(owner)) return undefined;
    const found = this.#held.find(owner, askedKey(narrowed), narrowed.seconds, this.#now());
    return found && Buffer.from(found.bytes).toString();
  }

  /**
   * A token for what was asked. Throws UseFailure: `not_allowed` with the part that the policy does not allow,
   * `token_needed` if the provider would have to be asked and may not, and what providers do; EnvelopeRefused and
   * KeyProviderError.
   */
  async obtain(wish: TokenWish): Promise<Obtained> {
    const { org, credential, asked, mayExchange } = wish;
    const grant = grantOf(credential.policy);
    const narrowed = allowedOf(grant, asked);
    const owner = ownerOf(org, credential);
    const key = askedKey(narrowed);
    // One refresh token is sent once at a time, whatever it is asked for.
    const wishKey = JSON.stringify([owner, key]);
    const runKey = grant.type === "refresh_token" ? JSON.stringify([owner]) : wishKey;
    for (;;) {
      if (this.#replacements.has(owner)) return { replaced: await this.#replacements.sealed(owner) };
      const token = this.#held.find(owner, key, narrowed.seconds, this.#now());
      if (token) return { token };
      const running = this.#running.get(runKey);
      if (!running) break;
      // What a provider refuses to one wish, it may allow to another.
      await (running.wishKey === wishKey ? running.run : running.run.catch(() => {}));
    }
    if (!mayExchange) {
      throw new UseFailure("token_needed", "the broker has no token for this in memory");
    }
    this.#refusals.check(wishKey, this.#now());
    const run = this.#run(owner, wish, grant, narrowed).finally(() => this.#running.delete(runKey));
    this.#running.set(runKey, { wishKey, run });
    try {
      return await run;
    } catch (error) {
      this.#refusals.keep(wishKey, error, this.#now());
      throw error;
    }
  }

  /** Whether a value of this version was replaced by its provider, and may not be used or sealed any more. */
  isReplaced(org: string, credential: Described): boolean {
    return this.#replacements.has(ownerOf(org, credential));
  }

  /** The destination does not accept the token of a credential any more: it is dropped, unless it is quite new. */
  rejected(org: string, credential: string): void {
    this.#held.drop(org, credential, this.#now());
  }

  /** Zeroes what is kept. */
  close(): void {
    clearInterval(this.#timer);
    this.#held.forget();
    this.#replacements.forget();
  }

  async #run(
    owner: Owner,
    { credential, sends }: TokenWish,
    grant: Grant,
    narrowed: Narrowed,
  ): Promise<Obtained> {
    const value = await openSealed(this.#keys, owner.org, credential);
    sends?.();
    try {
      const run = {
        value,
        narrowed,
        credential: credential.name,
        exchange: this.#exchange,
        now: this.#now(),
      };
      if (grant.type === "refresh_token") return await this.#refresh(owner, { ...run, grant });
      return { token: await this.#keep(owner, run, await issue(grant, run)) };
    } finally {
      value.fill(0);
    }
  }

  /** A refresh token that was replaced is kept before anything else can fail. */
  async #refresh(owner: Owner, run: GrantRun<Extract<Grant, { type: "refresh_token" }>>): Promise<Obtained> {
    const { replacement, result } = await refreshToken(run);
    if (replacement) this.#replacements.keep(owner, replacement);
    let refused: UseFailure | undefined;
    try {
      if ("refused" in result) throw result.refused;
      const token = await this.#keep(owner, run, result.issued);
      if (!replacement) return { token };
    } catch (error) {
      if (!replacement || !(error instanceof UseFailure)) throw error;
      refused = error;
    }
    return { replaced: { ...(await this.#replacements.sealed(owner)), ...(refused && { refused }) } };
  }

  async #keep(
    owner: Owner,
    { narrowed, now }: Pick<GrantRun, "narrowed" | "now">,
    issued: Issued,
  ): Promise<HeldToken> {
    await checkIssued(issued, narrowed);
    const lifeMs = Math.floor((issued.lifeSeconds ?? 0) * 1000);
    // From before the request, so that it is never too late.
    const token: HeldToken = {
      ...{ bytes: new TextEncoder().encode(issued.token), type: issued.type, lifeMs },
      ...{ names: issued.names ?? narrowed.names, expiresAt: now + lifeMs },
    };
    this.#held.keep(owner, askedKey(narrowed), token);
    return token;
  }
}

function issue(
  grant: Exclude<Grant, { type: "refresh_token" }>,
  run: Omit<GrantRun, "grant">,
): Promise<Issued> {
  switch (grant.type) {
    case "client_credentials":
      return clientCredentials({ ...run, grant });
    case "jwt_bearer":
      return jwtBearer({ ...run, grant });
    case "github_app":
      return githubApp({ ...run, grant });
    case "token_exchange":
      return tokenExchange({ ...run, grant });
    case "sts_assume_role":
      return stsAssumeRole({ ...run, grant });
  }
}

/** The grant of a policy. Throws UseFailure `not_allowed` if it has none. */
export function grantOf({ grant }: BrokerPolicy): Grant {
  if (grant) return grant;
  throw new UseFailure("not_allowed", "the credential's policy has no grant", { part: "grant" });
}

/** What a caller gets of what they ask. Throws UseFailure `not_allowed` with the part that is not allowed. */
export function allowedOf(grant: Grant, asked: AskedToken): Narrowed {
  const narrowed = narrow(grant, asked);
  if (!("denied" in narrowed)) return narrowed;
  throw new UseFailure("not_allowed", `${narrowed.denied} ${narrowed.why}`, { part: narrowed.denied });
}

/** Names what a token is for, whatever its life. */
const askedKey = ({ seconds: _, ...narrowed }: Narrowed): string =>
  hash("sha256", canonicalJson(narrowed), "base64url");

function ownerOf(org: string, { name, version, since = version, policy }: Described): Owner {
  return {
    org,
    credential: name,
    version,
    since: Math.min(since, version),
    policy: brokerPolicyHash(policy),
  };
}
