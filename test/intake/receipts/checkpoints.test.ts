import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createReceipts, type ReceiptWriter } from "../../../services/intake/receipts/receipts.ts";
import {
  type Block,
  blocksPartition,
  checkpointsPartition,
  headKey,
  type StoredCheckpoint,
} from "../../../services/intake/receipts/records.ts";
import { CHECKPOINT_TYPE } from "../../../services/shared/receipts/receipt.ts";
import { eventually, type IntakeStage, startIntakeStage } from "../../harness/intake.ts";
import { completion, exported, intent, keysOf, verified } from "../../harness/receipts.ts";
import { memorySigner } from "../../harness/signer.ts";

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
const checkpoints = async () =>
  (await stage.store.query<StoredCheckpoint>(checkpointsPartition(stage.acme))).map(({ body }) => body);
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

test("a checkpoint that somebody put into the store is not gone on from", async () => {
  await stage.start();
  await use();
  stage.clock.skip(50);
  await eventually(async () => (await checkpoints()).length).toBe(1);
  const [newest] = await stage.store.query<StoredCheckpoint>(checkpointsPartition(stage.acme));
  if (!newest) throw new Error("no checkpoint");
  const { jws: _, ...said } = newest.body;
  const jws = await memorySigner().sign(CHECKPOINT_TYPE, said);
  await stage.store.write([{ ...newest, body: { ...said, jws } }]);
  await use();
  stage.clock.skip(50);
  await eventually(() => stage.log.some((line) => line.includes("does not go on"))).toBe(true);
  expect(await checkpoints()).toHaveLength(1);
});

test("a chain whose older entries and checkpoints are no longer kept is signed", async () => {
  await stage.start();
  await use();
  stage.clock.skip(50);
  await eventually(async () => (await checkpoints()).length).toBe(1);
  stage.clock.skip(900 * 24 * 3600);
  await use();
  stage.clock.skip(50);
  await eventually(async () => (await checkpoints()).map(({ sequence }) => sequence)).toEqual([4]);
  await expect(check()).rejects.toMatchObject({ fault: "begins_late" });
});

test("after the platform's key was replaced by another one, chains are signed by that, and the log says so", async () => {
  await stage.start();
  await use();
  stage.clock.skip(50);
  await eventually(async () => (await checkpoints()).length).toBe(1);
  const other = memorySigner("other");
  stage.signer.sign = other.sign;
  stage.signer.publicKeys = other.publicKeys;
  await use();
  stage.clock.skip(50);
  await eventually(async () => (await checkpoints()).length).toBe(2);
  expect(stage.log.some((line) => line.includes("by another key than before"))).toBe(true);
});
