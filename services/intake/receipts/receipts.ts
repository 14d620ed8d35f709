import { randomUUID } from "node:crypto";
import { Value } from "typebox/value";
import { StrongroomError } from "../../shared/errors.ts";
import { poll } from "../../shared/poll.ts";
import { Completion, Intent, type Receipt } from "../../shared/receipts/receipt.ts";
import type { Intake } from "../dependencies.ts";
import { Chain } from "./chain.ts";

/** Writes what the platform is about to do for an organization, and what came of it, to the organization's chain. */
export interface Receipts {
  /**
   * Resolves once the intent is durable: only then may anything be sent. Throws `receipts_unavailable`; the intent may
   * then have been written all the same, and is completed as `not_sent`.
   */
  begin(org: string, intent: Intent): Promise<Receipt>;
  /**
   * Completes an intent, whichever intake has begun it; only the first completion counts. Resolves once it is durable,
   * or, after some seconds without the store, once it is kept to be tried again. It never rejects.
   */
  complete(org: string, of: Receipt, completion: Completion): Promise<void>;
}

/** {@link Receipts} of this process. */
export interface ReceiptWriter extends Receipts {
  /** Completes as `unknown` what an intake left open. */
  giveUp(org: string, intents: readonly { sequence: number; id: string; ms: number }[]): Promise<void>;
  /** Looks after chains with open intents once, as is done at intervals after `start`. */
  upkeep(): void;
  start(): void;
  /** Resolves once what was given to it is written, or cannot be. */
  settled(): Promise<void>;
  /** Waits until everything that was begun here is completed, for two seconds at most. */
  stop(): Promise<void>;
}

/** How often chains with open intents are looked after. */
const UPKEEP_MS = 15_000;
const STOP_MS = 2_000;
const STOP_EVERY_MS = 20;

export function createReceipts(intake: Pick<Intake, "store" | "log" | "now">): ReceiptWriter {
  const writer = randomUUID();
  const chains = new Map<string, Chain>();
  let timer: NodeJS.Timeout | undefined;
  const chainOf = (org: string): Chain => {
    const found = chains.get(org) ?? new Chain(intake, org, writer);
    chains.set(org, found);
    return found;
  };
  const upkeep = (): void => {
    for (const [org, chain] of chains) {
      if (chain.isIdle) chains.delete(org);
      else chain.upkeep();
    }
  };

  const settled = async (): Promise<void> => {
    await Promise.all([...chains.values()].map((chain) => chain.settled()));
  };

  return {
    async begin(org, intent) {
      // An entry that is none would make the whole chain fail its verification.
      if (!Value.Check(Intent, intent)) throw notRecordable();
      return chainOf(org).begin(intent);
    },
    async complete(org, { entry }, completion) {
      if (!Value.Check(Completion, completion)) throw new TypeError("not a receipt's completion");
      await chainOf(org).complete(entry, completion);
    },
    async giveUp(org, intents) {
      const none = { outcome: "unknown", sentBytes: 0, receivedBytes: 0, scrubbed: 0 } as const;
      await Promise.all(
        intents.map(({ ms, ...of }) => chainOf(org).complete(of, { ...none, failure: "interrupted", ms })),
      );
    },
    ...{ upkeep, settled },
    start() {
      timer = setInterval(upkeep, UPKEEP_MS).unref();
    },
    async stop() {
      clearInterval(timer);
      // Requests in progress end meanwhile, and their completions are written.
      const isDone = () => [...chains.values()].every((chain) => chain.isComplete);
      await poll(async () => isDone() || undefined, { everyMs: STOP_EVERY_MS, withinMs: STOP_MS });
    },
  };
}

const notRecordable = () =>
  new StrongroomError(
    "receipts_unavailable",
    "The request cannot be described in a receipt, so it is not sent.",
  );
