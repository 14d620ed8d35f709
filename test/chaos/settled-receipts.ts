import { pino } from "pino";
import { Value } from "typebox/value";
import type { Intake } from "../../services/intake/dependencies.ts";
import { createDueLoop, type DueHandlers } from "../../services/intake/due/loop.ts";
import { createReceipts } from "../../services/intake/receipts/receipts.ts";
import { unfinishedDueHandler } from "../../services/intake/receipts/unfinished.ts";
import { sqliteStore } from "../../services/intake/store/sqlite.ts";
import type { CheckpointKeys } from "../../services/shared/receipts/checkpoint-keys.ts";
import type { Completion, IntentEntry } from "../../services/shared/receipts/receipt.ts";
import { Receipt } from "../../services/shared/receipts/receipt.ts";
import { exported, verified } from "../harness/receipts.ts";

/** An intent, and what completed it. */
export interface Pair {
  intent: IntentEntry;
  completion: (Completion & { sequence: number }) | undefined;
}

const AHEAD_MS = 11 * 60_000;

/**
 * Reads organizations' chains from the store of an intake that is no more, before and after another intake has done what
 * is due eleven minutes later: completed as `unknown` what was left open. Throws unless each chain verifies both times.
 */
export async function settledReceipts(
  storeFile: string,
  orgs: string[],
  keys: CheckpointKeys,
): Promise<{ before: Pair[]; after: Pair[]; checkpoints: number }> {
  let ahead = 0;
  const now = () => Date.now() + ahead;
  const store = await sqliteStore(storeFile, { now });
  const intake = { store, now, log: pino({ enabled: false }) };
  const receipts = createReceipts(intake);
  const read = async () => {
    let checkpoints = 0;
    const pairs: Pair[] = [];
    for (const org of orgs) {
      const lines = await exported(store, org, now);
      checkpoints += (await verified(lines, keys, { org })).checkpoints;
      pairs.push(...pairsOf(lines));
    }
    return { pairs, checkpoints };
  };
  try {
    const before = await read();
    ahead = AHEAD_MS;
    const others = async () => {};
    const handlers = new Proxy({ unfinished: unfinishedDueHandler(intake, receipts) } as DueHandlers, {
      get: (own, type: keyof DueHandlers) => own[type] ?? others,
    });
    await createDueLoop(intake as Intake, handlers).pass();
    await receipts.settled();
    const after = await read();
    return { before: before.pairs, after: after.pairs, checkpoints: after.checkpoints };
  } finally {
    await store.close();
  }
}

/** The intents of an export, each with what completed it. */
export function pairsOf(lines: readonly unknown[]): Pair[] {
  const pairs = new Map<number, Pair>();
  for (const line of lines) {
    if (!Value.Check(Receipt, line)) continue;
    const { entry } = line;
    if (entry.type === "intent") pairs.set(entry.sequence, { intent: entry, completion: undefined });
    else {
      const pair = pairs.get(entry.of);
      if (pair) pair.completion = entry;
    }
  }
  return [...pairs.values()];
}
