import { Value } from "typebox/value";
import { BrokenReceipts } from "../../shared/receipts/broken.ts";
import { type CheckpointKeys, readCheckpoint } from "../../shared/receipts/checkpoint-keys.ts";
import { ChainLine, type ChainPosition, CheckpointLine, EndLine } from "../../shared/receipts/export.ts";
import {
  type Checkpoint,
  chainHash,
  chainStart,
  type Entry,
  Receipt,
} from "../../shared/receipts/receipt.ts";

export interface VerifyOptions {
  keys: CheckpointKeys;
  /** Whose chain it must be; whatever organization's if it is left out. */
  org?: string;
  /** A checkpoint (JWS) that the organization kept from an earlier export: the chain must still contain it. */
  since?: string;
}

/** What an export that is whole has. */
export interface Verification {
  org: string;
  /** The sequence of the first entry that is there. */
  first: number;
  end: ChainPosition;
  intents: number;
  completions: number;
  /** Intents without a completion. */
  open: number;
  checkpoints: number;
  /** The newest checkpoint, and its JWS, to be kept and passed as `since` later. */
  signed: (Checkpoint & { jws: string }) | undefined;
  /** Entries after the newest checkpoint. */
  unsigned: number;
}

/** Entries are signed within a minute; this is far more. */
const SIGNED_WITHIN_MS = 15 * 60_000;
/** Entries are kept for 400 days, and a checkpoint is younger than the entries that it is about. */
const KEPT_MS = 399 * 24 * 3600_000;
/** Bounds the memory. */
const MOST_OPEN = 1_000_000;

/**
 * Verifies an export's lines, one at a time: every hash, sequence, completion and signature. Throws BrokenReceipts at the
 * first that is wrong. It needs nothing of the platform but the public keys.
 */
export async function verifyReceipts(
  lines: AsyncIterable<unknown>,
  { keys, org: expected, since: kept }: VerifyOptions,
): Promise<Verification> {
  const since = kept === undefined ? undefined : readCheckpoint(kept, keys);
  let follower: Follower | undefined;
  for await (const line of lines) {
    if (!follower) {
      if (!Value.Check(ChainLine, line))
        throw new BrokenReceipts("malformed", "the first line names no chain");
      follower = new Follower(line.chain, keys, since);
      for (const org of [expected, since?.org]) {
        if (org !== undefined && org !== line.chain.org)
          throw otherOrganization(`the chain is ${line.chain.org}'s`);
      }
    } else follower.take(line);
  }
  if (!follower) throw new BrokenReceipts("incomplete", "the export is empty");
  return follower.finish();
}

class Follower {
  readonly #org: string;
  readonly #readAt: number;
  readonly #keys: CheckpointKeys;
  readonly #since: Checkpoint | undefined;
  readonly #after: ChainPosition;
  #at: ChainPosition;
  #isEnded = false;
  readonly #open = new Map<number, string>();
  #intents = 0;
  #completions = 0;
  #checkpoints = 0;
  #signed: (Checkpoint & { jws: string }) | undefined;
  /** When the first entry after the newest checkpoint was written. */
  #unsignedAt: { sequence: number; at: number } | undefined;
  /** Whether a checkpoint shows that entries before the first are gone because of their age. */
  #isAged = false;

  constructor(
    { org, at, after }: { org: string; at: string; after: ChainPosition },
    keys: CheckpointKeys,
    since: Checkpoint | undefined,
  ) {
    this.#org = org;
    this.#readAt = Date.parse(at);
    this.#keys = keys;
    this.#since = since;
    this.#after = after;
    this.#at = after;
    if (Number.isNaN(this.#readAt)) throw new BrokenReceipts("malformed", "the export's time is none");
    if (after.sequence === 0 && after.hash !== chainStart(org)) {
      throw otherOrganization("the chain does not begin as this organization's does");
    }
    this.#compareSince();
  }

  take(line: unknown): void {
    if (this.#isEnded) throw new BrokenReceipts("malformed", "there are lines after the end");
    if (Value.Check(Receipt, line)) this.#takeEntry(line.entry, line.hash);
    else if (Value.Check(CheckpointLine, line)) this.#takeCheckpoint(line.checkpoint);
    else if (Value.Check(EndLine, line)) this.#takeEnd(line.end);
    else {
      const next = this.#at.sequence + 1;
      throw new BrokenReceipts("malformed", `the line after entry ${next - 1} is none of an export`, next);
    }
  }

  finish(): Verification {
    const { sequence } = this.#at;
    if (!this.#isEnded) {
      throw new BrokenReceipts(
        "incomplete",
        `the export ends after entry ${sequence}, without its last line`,
      );
    }
    const since = this.#since;
    if (since && since.sequence > sequence) {
      const message = `the chain ends at entry ${sequence}; the checkpoint that was kept says ${since.sequence}`;
      throw new BrokenReceipts("cut_back", message, sequence + 1);
    }
    const { sequence: gone } = this.#after;
    if (since && since.sequence < gone && this.#readAt - Date.parse(since.at) < KEPT_MS) {
      const message = `entries ${since.sequence + 1} to ${gone} are missing; they are younger than the checkpoint that was kept`;
      throw new BrokenReceipts("begins_late", message, since.sequence + 1);
    }
    if (gone > 0 && !this.#isAged && !(since && since.sequence >= gone)) {
      const why = "no checkpoint shows that they are old enough to be gone";
      throw new BrokenReceipts("begins_late", `entries 1 to ${gone} are missing, and ${why}`, 1);
    }
    const waiting = this.#unsignedAt;
    if (waiting && this.#readAt - waiting.at > SIGNED_WITHIN_MS) {
      const message = `no checkpoint has signed the entries from ${waiting.sequence} on, which is overdue`;
      throw new BrokenReceipts("not_signed", message, waiting.sequence);
    }
    return {
      ...{ org: this.#org, first: gone + 1, end: this.#at, intents: this.#intents },
      ...{ completions: this.#completions, open: this.#open.size, checkpoints: this.#checkpoints },
      ...{ signed: this.#signed, unsigned: sequence - Math.max(gone, this.#signed?.sequence ?? 0) },
    };
  }

  #takeEntry(entry: Entry, hash: string): void {
    const sequence = this.#at.sequence + 1;
    if (entry.sequence !== sequence) {
      throw new BrokenReceipts(
        "wrong_sequence",
        `entry ${entry.sequence} stands at the place of ${sequence}`,
        sequence,
      );
    }
    if (chainHash(this.#at.hash, entry) !== hash) {
      const message = `entry ${sequence} does not have its hash: it, or what was before it, was changed`;
      throw new BrokenReceipts("wrong_hash", message, sequence);
    }
    const at = Date.parse(entry.at);
    if (Number.isNaN(at)) throw new BrokenReceipts("malformed", `entry ${sequence} has no time`, sequence);
    if (entry.type === "intent") {
      this.#intents++;
      if (this.#open.size === MOST_OPEN)
        throw new BrokenReceipts("malformed", "too many intents are open", sequence);
      this.#open.set(sequence, entry.id);
    } else this.#complete(entry);
    this.#at = { sequence, hash };
    this.#unsignedAt ??= { sequence, at };
    this.#compareSince();
  }

  #complete({ sequence, of, id }: Extract<Entry, { type: "completion" }>): void {
    this.#completions++;
    // Its intent may be no longer kept.
    if (of <= this.#after.sequence) return;
    const open = this.#open.get(of);
    this.#open.delete(of);
    if (open === id) return;
    const why = open === undefined ? "which is no open intent" : "which is another request's";
    throw new BrokenReceipts(
      "unmatched_completion",
      `entry ${sequence} completes entry ${of}, ${why}`,
      sequence,
    );
  }

  #takeCheckpoint(jws: string): void {
    const checkpoint = readCheckpoint(jws, this.#keys);
    const { org, sequence, hash, at } = checkpoint;
    const here = this.#at.sequence;
    this.#checkpoints++;
    if (org !== this.#org) throw otherOrganization(`a checkpoint is ${org}'s`);
    if (sequence > here) {
      const message = `entries ${here + 1} to ${sequence} were signed and are missing`;
      throw new BrokenReceipts("cut_back", message, here + 1);
    }
    const isBeforeAll = here === this.#after.sequence && sequence < here;
    if (sequence < here && !isBeforeAll) {
      throw new BrokenReceipts(
        "checkpoint_misplaced",
        `checkpoint ${sequence} stands after entry ${here}`,
        sequence,
      );
    }
    if (sequence === here && hash !== this.#at.hash) {
      const message = `entry ${sequence}, or one before it, is not what was signed`;
      throw new BrokenReceipts("checkpoint_mismatch", message, sequence);
    }
    if (this.#signed && this.#signed.sequence >= sequence) {
      throw new BrokenReceipts("checkpoint_misplaced", `checkpoint ${sequence} stands twice`, sequence);
    }
    this.#signed = { ...checkpoint, jws };
    if (sequence === here) this.#unsignedAt = undefined;
    const isOld = this.#readAt - Date.parse(at) >= KEPT_MS;
    if (isOld && sequence >= this.#after.sequence) this.#isAged = true;
  }

  #takeEnd({ sequence, hash }: ChainPosition): void {
    const here = this.#at;
    if (sequence !== here.sequence || hash !== here.hash) {
      const message = `the chain's head is ${sequence}, the last entry is ${here.sequence}`;
      throw new BrokenReceipts(
        sequence === here.sequence ? "wrong_hash" : "wrong_sequence",
        message,
        here.sequence + 1,
      );
    }
    this.#isEnded = true;
  }

  /** Compares the checkpoint that was kept with the chain, where it is about the last entry. */
  #compareSince(): void {
    const since = this.#since;
    if (since?.sequence !== this.#at.sequence || since.hash === this.#at.hash) return;
    const message = `entry ${since.sequence}, or one before it, is not what it was when the checkpoint was kept`;
    throw new BrokenReceipts("rewritten", message, since.sequence);
  }
}

const otherOrganization = (message: string) => new BrokenReceipts("other_organization", message);
