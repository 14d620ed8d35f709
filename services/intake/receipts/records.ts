import type { Checkpoint, Receipt } from "../../shared/receipts/receipt.ts";
import type { Key } from "../store/store.ts";

/** Entries that were written together. Blocks are ordered by the sequence of their last entry. */
export interface Block {
  /** The hash to which the first entry is chained. */
  previous: string;
  receipts: Receipt[];
  /** The credential that each is about, to find them by. */
  credentials: string[];
}

/** Where an organization's chain ends. It is kept forever, so that no sequence is ever used twice. */
export interface Head {
  sequence: number;
  hash: string;
}

/** An intent without a completion. */
export interface OpenIntent {
  sequence: number;
  id: string;
  credential: string;
  /** Milliseconds since 1970. */
  at: number;
}

/**
 * The open intents of one intake. A completion is written together with the removal of its intent from here, so there
 * is one for each, whichever intake writes it.
 */
export interface OpenIntents {
  /** Milliseconds since 1970: when its intake last wrote it. */
  aliveAt: number;
  /** The intake's write that wrote it, so that the intake can tell whether a write that failed was carried out. */
  write: string;
  intents: OpenIntent[];
}

/** A checkpoint and its JWS. */
export interface StoredCheckpoint extends Checkpoint {
  jws: string;
}

/** How long entries are kept. */
export const ENTRIES_KEPT_SECONDS = 400 * 24 * 3600;
/** Longer than entries, to show that those that are gone were old enough. */
export const CHECKPOINTS_KEPT_SECONDS = 800 * 24 * 3600;

export const blocksPartition = (org: string): string => `org/${org}/receipts`;
export const headKey = (org: string): Key => ({ partition: `org/${org}/receipts-head`, sort: "head" });
export const openPartition = (org: string): string => `org/${org}/receipts-open`;
export const checkpointsPartition = (org: string): string => `org/${org}/receipts-checkpoints`;

/** A sequence as a sort key. */
export const bySequence = (sequence: number): string => String(sequence).padStart(16, "0");
