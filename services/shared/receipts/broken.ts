/** What may be wrong with a chain of receipts. */
export const FAULTS = [
  "malformed", // a line is none of an export
  "incomplete", // the export has no end
  "other_organization", // the chain or a checkpoint is another organization's
  "begins_late", // entries are gone that should be kept
  "wrong_sequence", // entries are missing, doubled or in another order
  "wrong_hash", // an entry is not what was chained, or what was before it is not
  "unmatched_completion", // it completes nothing, or what was completed before
  "checkpoint_unreadable", // it is no JWS of a checkpoint
  "checkpoint_unsigned", // its key has not signed it
  "unknown_key", // none of the keys is the one that it names
  "checkpoint_misplaced", // it does not stand after the entry that it is about
  "checkpoint_mismatch", // the chain is not what was signed
  "cut_back", // it ends before what was signed
  "rewritten", // it is not the chain of which an earlier checkpoint was kept
  "not_signed", // entries are older than the time within which they are signed
] as const;
export type Fault = (typeof FAULTS)[number];

/** Receipts are not what they should be. `sequence` is that of the first entry that is wrong, if an entry is. */
export class BrokenReceipts extends Error {
  override name = "BrokenReceipts";
  readonly fault: Fault;
  readonly sequence: number | undefined;

  constructor(fault: Fault, message: string, sequence?: number) {
    super(message);
    this.fault = fault;
    this.sequence = sequence;
  }
}
