import { isDeepStrictEqual } from "node:util";
import { coalesce } from "../../shared/coalesce.ts";
import { StrongroomError } from "../../shared/errors.ts";
import {
  REVOCATIONS_TYP,
  type Revocation,
  type RevocationList,
  type TokenOwner,
} from "../../shared/front/published/revocations.ts";
import type { VaultClient } from "../../shared/vault/client.ts";
import { retryOnConflict, type Versioned } from "../../shared/vault/kv.ts";
import { signCompactJws } from "../../shared/vault/transit.ts";
import type { Publication, RevocationIndex, Revocations } from "../registry/records.ts";
import { claimKey, REVOCATION_INDEX_KEY, type Registry } from "../registry/registry.ts";
import { SIGNING_KEY } from "./directory.ts";

/** The origin of a revocation: gateways' limits are lower, which reserves space for operators. */
export type Adder = "gateway" | "operator";

/** The internal Vault stores at most 1 MiB per entry. */
const MAX_CLAIM_BYTES: Record<Adder, number> = { gateway: 512 * 1024, operator: 768 * 1024 };
/** Gateways accept at most 16 MiB, a JWS with 12 MiB of payload. */
const MAX_LIST_BYTES: Record<Adder, number> = { gateway: 8 * 1024 * 1024, operator: 11 * 1024 * 1024 };
/** Interval of looking for another control plane's changes. */
const LOOK_EVERY_MS = 500;
/** Revocations that ended this long ago are removed even if nothing is added to their claim. */
const CLEAR_AFTER_SECONDS = 3600;

export interface RevocationOptions {
  vault: VaultClient;
  registry: Registry;
  /** The longest token lifetime that any gateway accepts. */
  maxTokenLifetimeSeconds: number;
  now(): Date;
}

interface ClaimRevocations {
  /** The version of the claim's record. */
  version: number;
  value: Revocations;
  bytes: number;
}

/**
 * Keeps each claim's revocations in the registry, and publishes all of them as one signed list. They outlive the
 * organization: otherwise its tokens would be valid again once another organization has its claim. The index has the
 * version of every record in the list, so a version of the list is always the same list, whoever publishes it.
 * Others may add concurrently.
 */
export class RevocationPublisher {
  readonly #options: RevocationOptions;
  readonly #claims = new Map<string, ClaimRevocations>();
  #published: Publication | undefined;
  #looked = Number.NEGATIVE_INFINITY;

  constructor(options: RevocationOptions) {
    this.#options = options;
  }

  /** The latest end of an entry whose token's expiry is unknown, in seconds since 1970. */
  latestEnd(): number {
    return this.#seconds() + this.#options.maxTokenLifetimeSeconds;
  }

  /**
   * Puts a revocation into force; adding it again changes nothing. Throws `too_many_requests` if the list is full.
   */
  async add(owner: TokenOwner, revocation: Revocation, by: Adder): Promise<void> {
    const version = await this.#write(owner, (current) => {
      if (current.some((each) => covers(each, revocation))) return undefined;
      const left = current.filter((each) => each.ends > this.#seconds() && !covers(revocation, each));
      const next = [...left, revocation];
      const total = [...this.#claims.values()].reduce((sum, { bytes }) => sum + bytes, 0);
      if (sizeOf({ ...owner, revocations: next }) > MAX_CLAIM_BYTES[by] || total > MAX_LIST_BYTES[by]) {
        const detail = "The list of revocations is full. Revoke by subject: that takes one entry.";
        throw new StrongroomError("too_many_requests", detail);
      }
      return next;
    });
    await this.#announce(claimKey(owner.issuer, owner.claim), version);
    await this.#refresh();
  }

  /** The current revocations of one owner. */
  async of({ issuer, claim }: TokenOwner): Promise<Revocation[]> {
    const found = await this.#options.registry.revocations.read(claimKey(issuer, claim));
    return (found?.value.revocations ?? []).filter(({ ends }) => ends > this.#seconds());
  }

  /** The published list; while the internal Vault does not answer, the last one. */
  async current(): Promise<Publication> {
    if (performance.now() - this.#looked > LOOK_EVERY_MS) {
      await this.#refresh().catch((error: unknown) => {
        if (!this.#published) throw error;
      });
    }
    if (!this.#published) throw new Error("no list of revocations was published");
    return this.#published;
  }

  /** Updates the list from the registry. */
  readonly #refresh = coalesce(() => this.#look());

  async #look(): Promise<void> {
    const { registry } = this.#options;
    let index = await this.#index();
    for (const [key, announced] of Object.entries(index.value.claims)) {
      if (this.#claims.get(key)?.version === announced) continue;
      const found = await registry.revocations.read(key);
      if (!found) throw new Error(`revocations/${key}: the record is missing`);
      this.#claims.set(key, { ...found, bytes: sizeOf(found.value) });
      // Another control plane has added to it since and not announced it yet.
      if (found.version !== announced) index = await this.#announce(key, found.version);
    }
    if (this.#published?.version !== index.version) {
      const announced = Object.entries(index.value.claims);
      if (announced.some(([key, version]) => this.#claims.get(key)?.version !== version)) {
        return this.#look();
      }
      this.#published = await this.#sign(index);
    }
    this.#looked = performance.now();
    await this.#clear();
  }

  async #sign({ version, value }: Versioned<RevocationIndex>): Promise<Publication> {
    const orgs = [...this.#claims]
      .filter(([, { value }]) => value.revocations.length > 0)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, { value }]) => value);
    const list: RevocationList = { version, maxTokenLifetimeSeconds: value.maxTokenLifetimeSeconds, orgs };
    const jws = await signCompactJws(this.#options.vault, SIGNING_KEY, { typ: REVOCATIONS_TYP }, list);
    return { version, jws };
  }

  /** Removes the ended revocations of one claim; the next refresh does the next claim. */
  async #clear(): Promise<void> {
    const ended = ({ ends }: Revocation) => ends < this.#seconds() - CLEAR_AFTER_SECONDS;
    const [key, old] = [...this.#claims].find(([, { value }]) => value.revocations.some(ended)) ?? [];
    if (key === undefined || old === undefined) return;
    const version = await this.#write(old.value, (current) => current.filter((each) => !ended(each)));
    await this.#announce(key, version);
  }

  /** The index with the configured lifetime; created if there is none. */
  async #index(): Promise<Versioned<RevocationIndex>> {
    const { registry, maxTokenLifetimeSeconds } = this.#options;
    const found = await registry.revocationIndex.read(REVOCATION_INDEX_KEY);
    if (found?.value.maxTokenLifetimeSeconds === maxTokenLifetimeSeconds) return found;
    return this.#change((claims) => claims);
  }

  /** Records in the index that the list needs at least this version of a claim's record. */
  #announce(key: string, version: number): Promise<Versioned<RevocationIndex>> {
    return this.#change((claims) => ((claims[key] ?? 0) >= version ? claims : { ...claims, [key]: version }));
  }

  async #change(change: (claims: RevocationIndex["claims"]) => RevocationIndex["claims"]) {
    const { registry, maxTokenLifetimeSeconds } = this.#options;
    return retryOnConflict(async () => {
      const found = await registry.revocationIndex.read(REVOCATION_INDEX_KEY);
      const value = { maxTokenLifetimeSeconds, claims: change(found?.value.claims ?? {}) };
      if (found && isDeepStrictEqual(value, found.value)) return found;
      const version = await registry.revocationIndex.replace(
        REVOCATION_INDEX_KEY,
        value,
        found?.version ?? 0,
      );
      return { value, version };
    });
  }

  /** Changes an owner's record, unless `change` returns undefined. Returns the record's version. */
  #write(
    { issuer, claim }: TokenOwner,
    change: (current: Revocation[]) => Revocation[] | undefined,
  ): Promise<number> {
    const { revocations: records } = this.#options.registry;
    const key = claimKey(issuer, claim);
    return retryOnConflict(async () => {
      const found = await records.read(key);
      const revocations = change(found?.value.revocations ?? []);
      if (!revocations) return found?.version ?? 0;
      return records.replace(key, { issuer, claim, revocations }, found?.version ?? 0);
    });
  }

  #seconds(): number {
    return Math.floor(this.#options.now().getTime() / 1000);
  }
}

/** Whether `wide` refuses all that `narrow` refuses, for at least as long. */
function covers(wide: Revocation, narrow: Revocation): boolean {
  const { ends, ...what } = wide;
  const { ends: needed, ...target } = narrow;
  if (ends < needed) return false;
  if (!("subject" in what) || !("subject" in target)) return isDeepStrictEqual(what, target);
  return what.subject === target.subject && what.issuedUntil >= target.issuedUntil;
}

const sizeOf = (value: Revocations): number => Buffer.byteLength(JSON.stringify(value));
