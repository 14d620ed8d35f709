import type { Signer } from "../../services/shared/envelope/signer.ts";
import type { ExportLine } from "../../services/shared/receipts/export.ts";
import {
  CHECKPOINT_TYPE,
  chainHash,
  chainStart,
  type Entry,
  type IntentEntry,
} from "../../services/shared/receipts/receipt.ts";
import { completion, intent } from "./receipts.ts";

export const ORG = "o-acme";
export const BEGAN = Date.parse("2026-03-01T12:00:00Z");
type CompletionEntry = Extract<Entry, { type: "completion" }>;

/** When an entry was written: one every ten seconds. */
export const at = (sequence: number) => new Date(BEGAN + sequence * 10_000).toISOString();

export const intentAt = (sequence: number, changes: Partial<IntentEntry> = {}): IntentEntry => ({
  ...{ type: "intent", sequence, at: at(sequence) },
  ...intent({ id: `request-${sequence}`, bodyDigest: chainStart("body"), inUrl: true, scopes: ["a", "b"] }),
  ...changes,
});

export const completionOf = (
  of: number,
  sequence: number,
  changes: Partial<CompletionEntry> = {},
): CompletionEntry => ({
  ...{ type: "completion", sequence, at: at(sequence), of, id: `request-${of}` },
  ...completion({ failure: "none", bodyDigest: chainStart("sent") }),
  ...changes,
});

/** Entries of 12 uses: intent and completion in turn. */
export const twelveUses = (): Entry[] =>
  Array.from({ length: 12 }, (_, use) => [
    intentAt(2 * use + 1),
    completionOf(2 * use + 1, 2 * use + 2),
  ]).flat();

export interface ChainOptions {
  org?: string;
  /** After which entries a checkpoint stands. */
  checkpoints?: number[];
  /** When it was exported; one minute after its last entry unless given. */
  readAt?: number;
  /** What the first entry is chained to. */
  after?: { sequence: number; hash: string };
}

/** An export as the intake makes it of these entries, with their hashes. */
export async function chainOf(
  entries: Entry[],
  signer: Signer,
  options: ChainOptions = {},
): Promise<ExportLine[]> {
  const { org = ORG, checkpoints = [] } = options;
  const after = options.after ?? { sequence: 0, hash: chainStart(org) };
  const last = entries.at(-1);
  const readAt = options.readAt ?? (last ? Date.parse(last.at) : BEGAN) + 60_000;
  const lines: ExportLine[] = [{ chain: { org, at: new Date(readAt).toISOString(), after } }];
  let end = after;
  for (const entry of entries) {
    end = { sequence: entry.sequence, hash: chainHash(end.hash, entry) };
    lines.push({ entry, hash: end.hash });
    if (checkpoints.includes(entry.sequence))
      lines.push(await checkpoint(signer, { org, ...end, at: entry.at }));
  }
  return [...lines, { end }];
}

/** The line of a checkpoint with this payload. */
export const checkpoint = async (signer: Signer, payload: object, typ: string = CHECKPOINT_TYPE) => ({
  checkpoint: await signer.sign(typ, payload),
});
