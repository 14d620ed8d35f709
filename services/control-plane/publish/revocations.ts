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

/** Who adds a revocation: what gateways add leaves room for what operators add. */
export type Adder = "gateway" | "operator";

/** The internal Vault stores at most 1 MiB in an entry. */
const MAX_CLAIM_BYTES: Record<Adder, number> = { gateway: 512 * 1024, operator: 768 * 1024 };
/** Gateways take at most 16 MiB, which as a JWS is 12 MiB of this. */
const MAX_LIST_BYTES: Record<Adder, number> = { gateway: 8 * 1024 * 1024, operator: 11 * 1024 * 1024 };
/** Another control plane's changes are seen after this. */
const LOOK_EVERY_MS = 500;
/** A claim to which nobody adds is cleared of what ended this long ago. */
const CLEAR_AFTER_SECONDS = 3600;

export interface RevocationOptions {
  vault: VaultClient;
  registry: Registry;
  /** The longest life of a token that any gateway accepts. */
  maxTokenLifetimeSeconds: number;
  now(): Date;
}

interface ClaimRevocations {
  /** Of its record. */
  version: number;
  value: Revocations;
  bytes: number;
}

/**
 * Keeps each claim's revocations in the registry, and publishes all of them as one signed list. They outlive the
 * organization: its tokens are good again as soon as another has its claim. The index names the version of every record that the list is made of, so a version of the list is always the
 * same list, whoever publishes it. Others may add at the same time.
 */
export class RevocationPublisher {
  readonly #options: RevocationOptions;
  readonly #claims = new Map<string, ClaimRevocations>();
  #published: Publication | undefined;
  #looked = Number.NEGATIVE_INFINITY;

  constructor(options: RevocationOptions) {
    this.#options = options;
  }

  /** When an entry may end whose token's own end is not known, in seconds since 1970. */
  latestEnd(): number {
    return this.#seconds() + this.#options.maxTokenLifetimeSeconds;
  }

  /**
   * Puts a revocation into force; adding it again changes nothing. Throws `too_many_requests` where the list is
   * as long as it may be.
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

  /** Those of one owner that have not ended. */
  async of({ issuer, claim }: TokenOwner): Promise<Revocation[]> {
    const found = await this.#options.registry.revocations.read(claimKey(issuer, claim));
    return (found?.value.revocations ?? []).filter(({ ends }) => ends > this.#seconds());
  }

  /** The list as published; the last one made while the internal Vault does not answer. */
  async current(): Promise<Publication> {
    if (performance.now() - this.#looked > LOOK_EVERY_MS) {
      await this.#refresh().catch((error: unknown) => {
        if (!this.#published) throw error;
      });
    }
    if (!this.#published) throw new Error("the list was never made");
    return this.#published;
  }

  /** Makes the list say what the registry says. */
  readonly #refresh = coalesce(() => this.#look());

  async #look(): Promise<void> {
    const { registry } = this.#options;
    let index = await this.#index();
    for (const [key, announced] of Object.entries(index.value.claims)) {
      if (this.#claims.get(key)?.version === announced) continue;
      const found = await registry.revocations.read(key);
      if (!found) throw new Error(`revocations/${key}: the record is gone`);
      this.#claims.set(key, { ...found, bytes: sizeOf(found.value) });
      // Another control plane has added since, and has not announced it yet.
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

  /** Clears one claim of what has ended; the next look finds the next one. */
  async #clear(): Promise<void> {
    const ended = ({ ends }: Revocation) => ends < this.#seconds() - CLEAR_AFTER_SECONDS;
    const [key, old] = [...this.#claims].find(([, { value }]) => value.revocations.some(ended)) ?? [];
    if (key === undefined || old === undefined) return;
    const version = await this.#write(old.value, (current) => current.filter((each) => !ended(each)));
    await this.#announce(key, version);
  }

  /** The index, made where there is none, with the lifetime that is set now. */
  async #index(): Promise<Versioned<RevocationIndex>> {
    const { registry, maxTokenLifetimeSeconds } = this.#options;
    const found = await registry.revocationIndex.read(REVOCATION_INDEX_KEY);
    if (found?.value.maxTokenLifetimeSeconds === maxTokenLifetimeSeconds) return found;
    return this.#change((claims) => claims);
  }

  /** Has the list hold at least this version of a claim's record. */
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

  /** Changes an owner's record, unless `change` returns nothing, and returns its version. */
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

/** Whether all that one revocation refuses is refused by the other, and for as long. */
function covers(wide: Revocation, narrow: Revocation): boolean {
  const { ends, ...what } = wide;
  const { ends: needed, ...target } = narrow;
  if (ends < needed) return false;
  if (!("subject" in what) || !("subject" in target)) return isDeepStrictEqual(what, target);
  return what.subject === target.subject && what.issuedUntil >= target.issuedUntil;
}

const sizeOf = (value: Revocations): number => Buffer.byteLength(JSON.stringify(value));
