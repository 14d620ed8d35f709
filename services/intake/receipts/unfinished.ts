import type { Intake } from "../dependencies.ts";
import { type DueHandler, postpone } from "../due/loop.ts";
import { UNFINISHED_AFTER_SECONDS, unfinishedAt } from "./block.ts";
import type { ReceiptWriter } from "./receipts.ts";
import { type OpenIntent, type OpenIntents, openPartition } from "./records.ts";

/** No intent stays open for longer, even if its intake is alive. */
const LONGEST_OPEN_MS = 24 * 3600_000;
const AGAIN_SECONDS = 60;
const MOST_INTAKES = 1_000;

/**
 * Completes as `unknown` what nobody else will: the open intents of intakes that have written no sign of life for ten
 * minutes, and any that is a day old. The conditional write of a completion lets one intake do it, once.
 */
export function unfinishedDueHandler(
  intake: Pick<Intake, "store" | "now" | "log">,
  receipts: ReceiptWriter,
): DueHandler {
  const { store, now, log } = intake;
  return async (item) => {
    if (item.body.type !== "unfinished") return;
    const { org, name } = item.body;
    const moved = await postpone(intake, item, AGAIN_SECONDS);
    if (!moved) return;
    const intakes = await store.query<OpenIntents>(openPartition(org), { limit: MOST_INTAKES });
    const isLost = ({ aliveAt }: OpenIntents) => now() - aliveAt > UNFINISHED_AFTER_SECONDS * 1000;
    const lost = intakes.flatMap(({ body }) =>
      body.intents.filter(({ at }) => isLost(body) || now() - at > LONGEST_OPEN_MS),
    );
    if (lost.length > 0) log.warn({ org, receipts: lost.length }, "receipts are completed as unknown");
    await receipts.giveUp(
      org,
      lost.map(({ sequence, id, at }) => ({ sequence, id, ms: Math.max(0, now() - at) })),
    );
    const left = await store.query<OpenIntents>(openPartition(org), { limit: MOST_INTAKES });
    // What was begun at another time has an item of its own.
    const isOfItem = ({ at }: OpenIntent) => unfinishedAt(Math.floor(at / 1000)) === Number(name);
    if (!left.some(({ body }) => body.intents.some(isOfItem)))
      await store.write([{ ...moved, remove: true }]);
  };
}
