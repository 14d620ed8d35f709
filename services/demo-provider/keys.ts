import { hash, randomBytes } from "node:crypto";

const KEYS_AT_MOST = 1_000;

/** A key as its holder is told of it. */
export interface Holder {
  account: string;
  /** The key's id, which tells nothing of the key: `sk_<id>_…`. */
  key: string;
}

/**
 * The keys of accounts. A key that it did not make is taken for the first one of an account of its own, so there is
 * nothing to register.
 */
export class Keys {
  /** The account and the whole key's fingerprint, by the ids of the keys that it made. */
  readonly #made = new Map<string, { account: string; fingerprint: string }>();
  readonly #revoked = new Set<string>();

  /** Whose key a request has; undefined without one, and for one that is revoked. */
  holder(authorization: string | undefined): Holder | undefined {
    const [, key] = /^Bearer (\S+)$/.exec(authorization ?? "") ?? [];
    if (!key) return undefined;
    const [, id = fingerprint(key)] = /^sk_([a-z0-9]+)_/.exec(key) ?? [];
    const made = this.#made.get(id);
    if (this.#revoked.has(id) || (made && made.fingerprint !== fingerprint(key))) return undefined;
    return { account: made?.account ?? `acct_${fingerprint(key)}`, key: id };
  }

  /** One more key of an account; undefined if there are too many. */
  create(account: string): { id: string; key: string } | undefined {
    if (this.#made.size >= KEYS_AT_MOST) return undefined;
    const id = randomBytes(6).toString("hex");
    const key = `sk_${id}_${randomBytes(18).toString("base64url")}`;
    this.#made.set(id, { account, fingerprint: fingerprint(key) });
    return { id, key };
  }

  /** Ends a key. */
  revoke(id: string): void {
    if (this.#revoked.size < KEYS_AT_MOST) this.#revoked.add(id);
  }
}

export const fingerprint = (text: string) => hash("sha256", text, "hex").slice(0, 12);
