import type { Logger } from "pino";
import { Value } from "typebox/value";
import {
  chained,
  headText,
  slotKey,
  TRAIL_BEGIN,
  TRAIL_HEAD_HEADER,
  TRAIL_MOUNT,
  TrailEntry,
  type TrailEvent,
  TrailFollower,
  type TrailHead,
} from "../shared/audit/trail.ts";
import { StrongroomError } from "../shared/errors.ts";
import { type VaultClient, VaultError, VaultUnreachableError } from "../shared/vault/client.ts";
import { CasConflictError, kv2 } from "../shared/vault/kv.ts";

const TRIES = 100;
/** Slots read concurrently while the chain is followed. */
const READ_TOGETHER = 32;
/** Time limit of one call that follows the chain; the next call continues from there. */
const FOLLOW_MS = 10_000;
const STRAYS_AT_MOST = 100;

/** Consecutive slots up to the first empty one. */
export interface TrailPage {
  /** The well-formed entries; the reader must check that they are on the chain. */
  entries: TrailEntry[];
  /** The slots with anything else. */
  foreign: number[];
}

export interface TrailOptions {
  /** The internal Vault, with the control plane's own login. */
  vault: VaultClient;
  now(): Date;
  log: Logger;
}

/**
 * The control plane's audit trail, in a mount of the internal Vault whose policy lets this service create and read
 * entries but never change or remove one. Others may append concurrently: the loser of a slot takes the next one.
 * The head is found by following the chain from its beginning, so that foreign content in a slot, at the head or
 * far beyond, is skipped and never taken for it.
 */
export class Trail {
  readonly #kv: ReturnType<typeof kv2>;
  readonly #options: TrailOptions;
  readonly #follower = new TrailFollower(TRAIL_BEGIN);
  #isFollowed = false;
  #following: Promise<void> | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: TrailOptions) {
    this.#options = options;
    this.#kv = kv2(options.vault, TRAIL_MOUNT);
  }

  /** Appends an entry, which is durable on return. Throws if the internal Vault does not accept it. */
  append(event: Omit<TrailEvent, "at">): Promise<void> {
    const mine = this.#last
      .catch(() => {})
      .then(() => this.#append({ at: this.#options.now().toISOString(), ...event }));
    this.#last = mine;
    return mine;
  }

  /** The content of up to `limit` slots after the one numbered `after`. */
  async read(after: number, limit: number): Promise<TrailPage> {
    const found = await this.#slots(after + 1, limit);
    const page: TrailPage = { entries: [], foreign: [] };
    for (const [index, value] of found.entries()) {
      if (Value.Check(TrailEntry, value)) page.entries.push(value);
      else page.foreign.push(after + 1 + index);
    }
    return page;
  }

  /** The current end of the chain. */
  async head(): Promise<TrailHead> {
    await this.#follow();
    const { sequence, hash } = this.#follower.head;
    return { sequence, hash };
  }

  /** Keys in the mount that are neither slots of the chain nor the next slot: the first hundred. */
  async strays(): Promise<string[]> {
    await this.#follow();
    const end = slotKey(this.#follower.next);
    const strays: string[] = [];
    for (const folder of (await this.#kv.list("")).sort()) {
      if (strays.length >= STRAYS_AT_MOST) break;
      if (/^[0-9]{9}\/$/.test(folder) && folder.slice(0, -1) < end.slice(0, 9)) continue;
      for (const key of folder.endsWith("/") ? (await this.#kv.list(folder)).sort() : [""]) {
        const path = folder + key;
        if (!/^[0-9]{9}\/[0-9]{3}$/.test(path) || path >= end) strays.push(path);
      }
    }
    return strays.slice(0, STRAYS_AT_MOST);
  }

  async #append(event: TrailEvent): Promise<void> {
    const follower = this.#follower;
    // Once the end is known, the chain has to be followed again only if its next slot is taken.
    if (!this.#isFollowed) await this.#follow();
    for (let tries = 1; ; tries++) {
      const slot = follower.next;
      const entry = chained(event, follower.head, slot);
      try {
        await this.#kv.write(slotKey(slot), entry, 0, { [TRAIL_HEAD_HEADER]: headText(entry) });
        if (follower.next === slot) follower.take(entry);
        return;
      } catch (error) {
        // Writing to a taken slot would be an update, which the policy refuses.
        const isTaken =
          error instanceof CasConflictError || (error instanceof VaultError && error.status === 403);
        if (!isTaken) throw error;
        await this.#follow();
        if (follower.next === slot || tries === TRIES) throw error;
      }
    }
  }

  /** Follows the chain to its end. Concurrent calls share one walk. */
  #follow(): Promise<void> {
    this.#following ??= this.#walk().finally(() => {
      this.#following = undefined;
    });
    return this.#following;
  }

  async #walk(): Promise<void> {
    const follower = this.#follower;
    for (const deadline = performance.now() + FOLLOW_MS; ; ) {
      const found = await this.#slots(follower.next, READ_TOGETHER);
      for (const each of found) {
        const slot = follower.next;
        if (!follower.take(each)) {
          this.#options.log.error({ slot: slotKey(slot) }, "foreign content in the trail");
        }
      }
      if (found.length < READ_TOGETHER) {
        this.#isFollowed = true;
        return;
      }
      if (performance.now() > deadline) {
        const detail =
          "The end of the trail is not reached yet. Try again: the next call continues from here.";
        throw new StrongroomError("internal_vault_unavailable", detail);
      }
    }
  }

  /** The content of consecutive slots from `from`, up to the first empty one. */
  async #slots(from: number, count: number): Promise<unknown[]> {
    const found: unknown[] = [];
    // Usually there are none, or one.
    for (let size = 2; found.length < count; size = Math.min(size * 2, READ_TOGETHER)) {
      const together = Math.min(size, count - found.length);
      const start = from + found.length;
      const read = await Promise.all(Array.from({ length: together }, (_, i) => this.#slot(start + i)));
      const end = read.indexOf(undefined);
      found.push(...(end === -1 ? read : read.slice(0, end)));
      if (end !== -1) break;
    }
    return found;
  }

  /** The content of a slot: undefined if it is empty, null if it cannot be read as a record. */
  async #slot(slot: number): Promise<unknown> {
    const key = slotKey(slot);
    try {
      return (await this.#kv.read(key))?.data;
    } catch (error) {
      if (error instanceof TypeError || isTooLarge(error)) return null;
      throw error;
    }
  }
}

const isTooLarge = (error: unknown): boolean =>
  error instanceof VaultUnreachableError && error.code === "UND_ERR_RES_EXCEEDED_MAX_SIZE";
