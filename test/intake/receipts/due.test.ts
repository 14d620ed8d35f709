import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createReceipts, type ReceiptWriter } from "../../../services/intake/receipts/receipts.ts";
import {
  type Block,
  blocksPartition,
  checkpointsPartition,
  headKey,
  openPartition,
  type StoredCheckpoint,
} from "../../../services/intake/receipts/records.ts";
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
  await receipts.stop();
  await stage.close();
});

const receiptsAt = () =>
  createReceipts({ store: stage.store, log: pino({ enabled: false }), now: stage.clock.now });
const checkpoints = async () =>
  (await stage.store.query<StoredCheckpoint>(checkpointsPartition(stage.acme))).map(({ body }) => body);
const entries = async () =>
  (await stage.store.query<Block>(blocksPartition(stage.acme))).flatMap(({ body }) =>
    body.receipts.map(({ entry }) => entry),
  );
const check = async () =>
  verified(await exported(stage.store, stage.acme, stage.clock.now), await keysOf(stage.signer), {
    org: stage.acme,
  });
const use = async (changes = {}) => {
  const begun = await receipts.begin(stage.acme, intent(changes));
  await receipts.complete(stage.acme, begun, completion());
};
/** What is due for receipts. */
const due = async () => {
  const shards = await Promise.all(
    [0, 1, 2, 3].map((shard) => stage.store.query<{ type: string }>(`due/${shard}`)),
  );
  return shards.flat().filter(({ body }) => ["checkpoint", "unfinished"].includes(body.type));
};

test("a chain is signed within a minute after a change, once for all changes of half a minute", async () => {
  await use();
  await use();
  await stage.start();
  stage.clock.skip(50);
  await eventually(async () => (await checkpoints()).length).toBe(1);
  expect(await check()).toMatchObject({ signed: { sequence: 4 }, unsigned: 0 });
  await use();
  expect(await check()).toMatchObject({ signed: { sequence: 4 }, unsigned: 2 });
  stage.clock.skip(50);
  await eventually(async () => (await check()).unsigned).toBe(0);
});

test("of several intakes one signs", async () => {
  let signed = 0;
  const { sign } = stage.signer;
  stage.signer.sign = async (...given) => {
    signed++;
    return sign.apply(stage.signer, given);
  };
  await Promise.all([stage.start(), stage.start(), stage.start()]);
  for (let round = 1; round <= 5; round++) {
    await use();
    stage.clock.skip(50);
    await eventually(async () => (await checkpoints()).length).toBe(round);
  }
  expect(signed).toBe(5);
});

test("nothing is signed and nothing is due once a chain is signed and complete", async () => {
  await use();
  await stage.start();
  stage.clock.skip(700);
  await eventually(due).toEqual([]);
  expect(await checkpoints()).toHaveLength(1);
});

test("while nothing can be signed uses go on, the log says so, and it is made up for", async () => {
  const intake = await stage.start();
  stage.signer.failure = new Error("the internal Vault is sealed");
  await use();
  stage.clock.skip(50);
  await eventually(() => stage.log.some((line) => line.includes("could not be signed"))).toBe(true);
  await use();
  expect((await intake.call("GET", "/v1/ready")).json).toEqual({
    status: "ready",
    checkpoints: "not signed",
  });
  stage.signer.failure = undefined;
  stage.clock.skip(50);
  await eventually(async () => (await check()).unsigned).toBe(0);
  await eventually(async () => (await intake.call("GET", "/v1/ready")).json).toEqual({ status: "ready" });
});

test("a key that was rotated signs from then on, and older checkpoints still verify", async () => {
  await stage.start();
  await use();
  stage.clock.skip(50);
  await eventually(async () => (await checkpoints()).length).toBe(1);
  stage.signer.rotate();
  await use();
  stage.clock.skip(50);
  await eventually(async () => (await checkpoints()).length).toBe(2);
  expect(await check()).toMatchObject({ checkpoints: 2, unsigned: 0 });
  const kids = (await checkpoints()).map(({ jws }) =>
    JSON.parse(Buffer.from(jws.split(".")[0] as string, "base64url").toString()),
  );
  expect(kids.map(({ kid }) => kid)).toEqual(["receipts:1", "receipts:2"]);
});

test.each([
  [
    "an entry was changed",
    (block: Block) => Object.assign(block.receipts[0]?.entry ?? {}, { host: "x.example" }),
  ],
  ["an entry is missing", (block: Block) => block.receipts.pop()],
  ["an entry's hash was changed", (block: Block) => Object.assign(block.receipts[0] ?? {}, { hash: "x" })],
])("a chain in which %s since it was signed is not signed again", async (_, tamper) => {
  await stage.start();
  await use();
  stage.clock.skip(50);
  await eventually(async () => (await checkpoints()).length).toBe(1);
  await use();
  const [block] = await stage.store.query<Block>(blocksPartition(stage.acme), { descending: true, limit: 1 });
  if (!block) throw new Error("no block");
  tamper(block.body);
  await stage.store.write([block]);
  stage.clock.skip(50);
  await eventually(() => stage.log.some((line) => line.includes("does not go on"))).toBe(true);
  expect(await checkpoints()).toHaveLength(1);
});

test("a chain whose head was moved is not signed again", async () => {
  await stage.start();
  await use();
  await stage.store.write([{ ...headKey(stage.acme), body: { sequence: 2, hash: "x".repeat(43) } }]);
  stage.clock.skip(50);
  await eventually(() => stage.log.some((line) => line.includes("does not go on"))).toBe(true);
  expect(await checkpoints()).toEqual([]);
});

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
  expect(await check()).toMatchObject({ open: 2 });
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
