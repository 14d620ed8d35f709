import type { KeyObject } from "node:crypto";
import type { Logger } from "pino";
import type { Identity } from "../identity/authenticator.ts";
import { PolledDocument } from "./polled-document.ts";
import type { Revocation, RevocationList, TokenOwner } from "./revocations.ts";
import { pairName } from "./verify-directory.ts";
import { type RevocationRefusal, RevocationsRefused, verifyRevocations } from "./verify-revocations.ts";

export interface RevocationOptions {
  /** Where the control plane publishes the list. */
  url: string;
  /** The key that signs it. */
  key: KeyObject;
  /** Path of the last good copy, which serves while nothing else can be had. */
  copy: string;
  /** The longest life of a token that is accepted here, in seconds. */
  maxTokenLifetimeSeconds: number;
  logger: Logger;
  /** Milliseconds since 1970; the system's clock by default. */
  now?: () => number;
}

/** What of an identity can be revoked. */
export type Revocable = Pick<Identity, "key" | "tokenId" | "subject" | "issuedAt">;

/** One organization's revocations, to look things up in. */
interface Revoked {
  tokens: Set<string>;
  tokenIds: Set<string>;
  /** By subject, up to which `iat`. */
  subjects: Map<string, number>;
}

/** The revocations in force: the copy on disk at first, then whatever newer list the control plane publishes. */
export class RevocationSource extends PolledDocument {
  /** Why the newest list published is not in use; undefined where it is. */
  refusal: RevocationRefusal | undefined;

  readonly #options: RevocationOptions;
  readonly #now: () => number;
  #held: RevocationList | undefined;
  /** By {@link TokenOwner}. */
  #revoked = new Map<string, Revoked>();
  /** Revoked here and not on the list yet. */
  readonly #own = new Map<string, { owner: string; token: string; ends: number }>();

  constructor(options: RevocationOptions) {
    const { url, copy, logger, now = Date.now } = options;
    super({ what: "revocation list", url, copy, logger, verify: (jws, which) => this.#verify(jws, which) });
    this.#options = options;
    this.#now = now;
  }

  /** The version in use; undefined until there is a list, and until then nobody can be let in. */
  get version(): number | undefined {
    return this.#held?.version;
  }

  isRevoked({ issuer, claim }: TokenOwner, { key, tokenId, subject, issuedAt }: Revocable): boolean {
    const owner = pairName(issuer, claim);
    if (this.#own.size > 0 && this.#own.has(ownName(owner, key))) return true;
    const revoked = this.#revoked.get(owner);
    if (!revoked) return false;
    if (revoked.tokens.has(key) || (tokenId !== undefined && revoked.tokenIds.has(tokenId))) return true;
    return issuedAt <= (revoked.subjects.get(subject) ?? -1);
  }

  /** Revokes a token here at once, whether or not the list ever says so; `ends` is its `exp`. */
  add({ issuer, claim }: TokenOwner, token: string, ends: number): void {
    const owner = pairName(issuer, claim);
    const now = this.#now() / 1000;
    for (const [name, own] of this.#own) if (own.ends <= now) this.#own.delete(name);
    this.#own.set(ownName(owner, token), { owner, token, ends });
  }

  async #verify(jws: string, which: string): Promise<(() => void) | undefined> {
    const { key, maxTokenLifetimeSeconds, logger } = this.#options;
    try {
      const list = await verifyRevocations(jws, key, maxTokenLifetimeSeconds, this.#held);
      this.refusal = undefined;
      if (list.version === this.#held?.version) return undefined;
      return () => {
        this.#held = list;
        this.#revoked = new Map(
          list.orgs.map(({ issuer, claim, revocations }) => [pairName(issuer, claim), index(revocations)]),
        );
        for (const [name, { owner, token }] of this.#own) {
          if (this.#revoked.get(owner)?.tokens.has(token)) this.#own.delete(name);
        }
        logger.info({ version: list.version }, `the revocation list in use is ${which}`);
      };
    } catch (error) {
      if (!(error instanceof RevocationsRefused)) throw error;
      const { reason, message } = error;
      if (this.refusal !== reason) {
        logger.error({ reason, detail: message, inUse: this.version }, `revocations: ${which} is refused`);
      }
      this.refusal = reason;
      return undefined;
    }
  }
}

const ownName = (owner: string, key: string) => `${owner}\n${key}`;

function index(revocations: Revocation[]): Revoked {
  const revoked: Revoked = { tokens: new Set(), tokenIds: new Set(), subjects: new Map() };
  for (const each of revocations) {
    if ("token" in each) revoked.tokens.add(each.token);
    else if ("tokenId" in each) revoked.tokenIds.add(each.tokenId);
    else {
      const until = Math.max(each.issuedUntil, revoked.subjects.get(each.subject) ?? 0);
      revoked.subjects.set(each.subject, until);
    }
  }
  return revoked;
}
