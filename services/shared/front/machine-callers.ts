import { hash } from "node:crypto";
import { Secret } from "../secret.ts";
import { KeyedGcra } from "./gcra.ts";
import { TokenRefused } from "./identity/refused.ts";
import { TooManyRequests } from "./limits.ts";
import type { DirectoryOrg, LoadedDirectory } from "./published/directory-source.ts";

/** Of a JWT's three parts the first begins with `ey`; of this one's with the organization's id. */
const MACHINE_TOKEN = /^(o[a-z2-7]{15})\.(hvs\.[A-Za-z0-9_-]{24,256})$/;

/** Nothing of a machine's token is verified here, so an organization's Vault is asked for each: so many, no more. */
const OF_ORG = { perSecond: 50, burst: 100 };
/** Of one organization from one address: whoever guesses does not use up what is the machines'. */
const OF_ADDRESS = { perSecond: 10, burst: 20 };
/** Tokens that an organization's admins make: its Vault stores each for as long as it lives. */
const MADE = { perSecond: 0.2, burst: 50 };
const MAX_KEYS = 10_000;
/** A token that its Vault has taken is known for so long. It only says who pays: its Vault is still asked. */
const KNOWN_MS = 60_000;
const MAX_KNOWN = 10_000;

/** Who presents a machine's token: perhaps a machine of the organization, as its Vault will say. */
export interface MachineCaller {
  org: DirectoryOrg;
  /** Vault's own token, without the organization's id before it. */
  token: Secret;
  /** A digest of the token, for logs. */
  subjectHash: string;
  /** The whole digest. */
  key: string;
}

/** Machines that have no JWT: they present `<organization's id>.<Vault's token>`. */
export class MachineCallers {
  readonly #orgs = new KeyedGcra(OF_ORG, MAX_KEYS);
  readonly #addresses = new KeyedGcra(OF_ADDRESS, MAX_KEYS);
  readonly #made = new KeyedGcra(MADE, MAX_KEYS);
  /** Until when the tokens are known, by their digests; the first is the one known for longest. */
  readonly #known = new Map<string, number>();

  /** Whether a token is of a machine's form. It says nothing of whether it is good. */
  isMachineToken(token: string): boolean {
    return MACHINE_TOKEN.test(token);
  }

  /**
   * The caller by its token. The id in it selects the address and grants nothing. Throws TokenRefused for an
   * organization that has no machine tokens, TooManyRequests beyond the limits.
   */
  admit(token: string, address: string, directory: LoadedDirectory, now = performance.now()): MachineCaller {
    const [, id = "", vaultToken = ""] = MACHINE_TOKEN.exec(token) ?? [];
    const org = directory.byId(id);
    if (!org?.machineTokens) throw new TokenRefused("machine_token");
    const from = `${id} ${address}`;
    const wait = Math.max(this.#addresses.wait(from, now), this.#orgs.wait(id, now));
    if (wait > 0) throw new TooManyRequests("org", wait);
    this.#addresses.count(from, now);
    this.#orgs.count(id, now);
    const key = hash("sha256", token, "hex");
    return { org, token: new Secret(vaultToken), subjectHash: key.slice(0, 16), key };
  }

  /** Whether a caller's token was taken by its Vault lately. */
  isKnown({ key }: Pick<MachineCaller, "key">, now = performance.now()): boolean {
    return (this.#known.get(key) ?? 0) > now;
  }

  /** Notes that a caller's token was taken by its Vault, or was not. */
  note({ key }: Pick<MachineCaller, "key">, isGood: boolean, now = performance.now()): void {
    this.#known.delete(key);
    if (!isGood) return;
    const [oldest] = this.#known.keys();
    if (this.#known.size >= MAX_KNOWN && oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(key, now + KNOWN_MS);
  }

  /** How many tokens are known. */
  get size(): number {
    return this.#known.size;
  }

  /** Counts a token that is about to be made for an organization's machine. Throws TooManyRequests. */
  countMade(org: string, now = performance.now()): void {
    const wait = this.#made.wait(org, now);
    if (wait > 0) throw new TooManyRequests("org", wait);
    this.#made.count(org, now);
  }
}

/** A token of an organization's Vault as its machine presents it. */
export const presented = (org: string, vaultToken: string): string => `${org}.${vaultToken}`;
