import { CHECKPOINT_TYPE, type Checkpoint, chainHash, chainStart } from "../../shared/receipts/receipt.ts";
import type { Intake } from "../dependencies.ts";
import { type DueHandler, postpone } from "../due/loop.ts";
import type { Store } from "../store/store.ts";
import { blocksBetween } from "./blocks.ts";
import {
  bySequence,
  CHECKPOINTS_KEPT_SECONDS,
  checkpointsPartition,
  type Head,
  headKey,
  type StoredCheckpoint,
} from "./records.ts";

/** While one intake signs, others leave it alone; after a failure it is tried again. */
const AGAIN_SECONDS = 15;

/** The newest checkpoint of an organization's chain. */
export async function newestCheckpoint(store: Store, org: string): Promise<StoredCheckpoint | undefined> {
  const [newest] = await store.query<StoredCheckpoint>(checkpointsPartition(org), {
    ...{ descending: true, limit: 1 },
  });
  return newest?.body;
}

/** Whether this intake could sign when it last had to. */
export interface Signing {
  isFailing: boolean;
}

/**
 * Signs where a chain stands. Only a chain that goes on from the newest checkpoint is signed: whoever changes the store
 * gets no signature for it. A failure is logged, and uses go on.
 */
export function checkpointDueHandler(
  intake: Pick<Intake, "store" | "now" | "log" | "receiptsSigner">,
  signing: Signing,
): DueHandler {
  const { store, now, log, receiptsSigner } = intake;
  return async (item) => {
    const { org } = item.body;
    const moved = await postpone(intake, item, AGAIN_SECONDS);
    if (!moved) return;
    const [head, newest] = await Promise.all([store.get<Head>(headKey(org)), newestCheckpoint(store, org)]);
    if (!head || head.body.sequence === newest?.sequence) {
      await store.write([{ ...moved, remove: true }]);
      return;
    }
    const { sequence, hash } = head.body;
    const broken = await brokenAfter(store, org, newest, head.body);
    if (broken !== undefined) {
      log.error({ org, sequence: broken }, "a chain of receipts does not go on from its newest checkpoint");
      return;
    }
    const at = new Date(now()).toISOString();
    const checkpoint: Checkpoint = { org, sequence, hash, at };
    let jws: string;
    try {
      jws = await receiptsSigner.sign(CHECKPOINT_TYPE, checkpoint);
      signing.isFailing = false;
    } catch (err) {
      signing.isFailing = true;
      log.error({ org, sequence, err }, "a checkpoint of receipts could not be signed; it is tried again");
      return;
    }
    const stored: StoredCheckpoint = { ...checkpoint, jws };
    const expiresAt = Math.floor(now() / 1000) + CHECKPOINTS_KEPT_SECONDS;
    await store.write([
      {
        partition: checkpointsPartition(org),
        sort: bySequence(sequence),
        ...{ body: stored, expect: 0, expiresAt },
      },
      { ...moved, remove: true },
    ]);
  };
}

/** The first sequence at which the chain between a checkpoint and its head is not whole; undefined if it is. */
async function brokenAfter(
  store: Store,
  org: string,
  from: StoredCheckpoint | undefined,
  head: Head,
): Promise<number | undefined> {
  let { sequence, hash } = from ?? { sequence: 0, hash: chainStart(org) };
  for await (const { receipts } of blocksBetween(store, org, sequence, head.sequence)) {
    for (const { entry, hash: said } of receipts) {
      if (entry.sequence <= sequence) continue;
      if (entry.sequence !== sequence + 1 || chainHash(hash, entry) !== said) return sequence + 1;
      sequence = entry.sequence;
      hash = said;
    }
  }
  if (sequence !== head.sequence) return sequence + 1;
  return hash === head.hash ? undefined : sequence;
}
