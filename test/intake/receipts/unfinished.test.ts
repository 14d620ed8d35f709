import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createReceipts, type ReceiptWriter } from "../../../services/intake/receipts/receipts.ts";
import { type Block, blocksPartition, openPartition } from "../../../services/intake/receipts/records.ts";
import { eventually, type IntakeStage, startIntakeStage } from "../../harness/intake.ts";
import { completion, exported, intent, keysOf, verified } from "../../harness/receipts.ts";

let stage: IntakeStage;
/** Receipts of an intake that has no due loop. */
let receipts: ReceiptWriter;
beforeEach(async () => {
  stage = await startIntakeStage();
  receipts = receiptsAt();
});
afterEach(async () => {
  await receipts.settled();
  await stage.close();
});

const receiptsAt = () =>
  createReceipts({ store: stage.store, log: pino({ enabled: false }), now: stage.clock.now });
const entries = async () =>
  (await stage.store.query<Block>(blocksPartition(stage.acme))).flatMap(({ body }) =>
    body.receipts.map(({ entry }) => entry),
  );
const check = async () =>
  verified(await exported(stage.store, stage.acme, stage.clock.now), await keysOf(stage.signer), {
    org: stage.acme,
  });
/** What is due for receipts. */
const due = async () => {
  const shards = await Promise.all(
    [0, 1, 2, 3].map((shard) => stage.store.query<{ type: string }>(`due/${shard}`)),
  );
  return shards.flat().filter(({ body }) => ["checkpoint", "unfinished"].includes(body.type));
};

test("an intent that a crashed intake left open is unknown after ten minutes, once", async () => {
  const begun = await receipts.begin(stage.acme, intent({ id: "lost" }));
  await Promise.all([stage.start(), stage.start()]);
  stage.clock.skip(500);
  expect(await entries()).toHaveLength(1);
  stage.clock.skip(200);
  await eventually(async () => (await entries()).at(-1)).toMatchObject({
    ...{ type: "completion", of: 1, id: "lost", outcome: "unknown", failure: "interrupted" },
  });
  // Its intake was only away.
  await receipts.complete(stage.acme, begun, completion());
  stage.clock.skip(700);
  await eventually(due).toEqual([]);
  expect(await check()).toMatchObject({ intents: 1, completions: 1, open: 0 });
});

test("an intake that lives keeps what it has in hand open for longer, up to a day", async () => {
  const begun = await receipts.begin(stage.acme, intent());
  const gone = await receipts.begin(stage.acme, intent());
  await stage.start();
  for (let minutes = 0; minutes < 40; minutes += 5) {
    stage.clock.skip(300);
    receipts.upkeep();
    await receipts.settled();
  }
  await eventually(async () => (await check()).open).toBe(2);
  await receipts.complete(stage.acme, begun, completion());
  stage.clock.skip(24 * 3600);
  receipts.upkeep();
  await receipts.settled();
  await eventually(async () => (await check()).open).toBe(0);
  expect((await entries()).at(-1)).toMatchObject({ of: gone.entry.sequence, outcome: "unknown" });
});

test("many intents of several crashed intakes are all completed", async () => {
  for (let intake = 0; intake < 8; intake++) {
    const crashed = receiptsAt();
    await Promise.all(Array.from({ length: 30 }, () => crashed.begin(stage.acme, intent())));
  }
  await stage.start();
  stage.clock.skip(700);
  await eventually(async () => (await check()).open).toBe(0);
  expect(await check()).toMatchObject({ intents: 240, completions: 240 });
  const open = await stage.store.query<{ intents: unknown[] }>(openPartition(stage.acme));
  expect(open.flatMap(({ body }) => body.intents)).toEqual([]);
});
