import type { Signer } from "../../shared/envelope/signer.ts";
import { BrokenReceipts } from "../../shared/receipts/broken.ts";
import {
  type CheckpointKeys,
  readCheckpoint,
  readCheckpointKeys,
} from "../../shared/receipts/checkpoint-keys.ts";
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
    const at = new Date(now()).toISOString();
    const checkpoint: Checkpoint = { org, sequence, hash, at };
    let jws: string;
    try {
      const from = newest && signedBefore(newest, await keysOf(receiptsSigner), log);
      await checkChain(store, org, from, head.body);
      jws = await receiptsSigner.sign(CHECKPOINT_TYPE, checkpoint);
      signing.isFailing = false;
    } catch (err) {
      signing.isFailing = true;
      if (err instanceof BrokenReceipts) {
        log.error({ org, err }, "a chain of receipts does not go on from its newest checkpoint");
        return;
      }
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

const keysOf = async (signer: Signer): Promise<CheckpointKeys> =>
  readCheckpointKeys(JSON.stringify({ keys: await signer.publicKeys() }));

/**
 * What a checkpoint says if the platform has signed it; throws BrokenReceipts otherwise. Undefined if its key is not the
 * platform's any more: then it tells nothing, as if it were not there.
 */
function signedBefore(
  { org, sequence, jws }: StoredCheckpoint,
  keys: CheckpointKeys,
  log: Intake["log"],
): Checkpoint | undefined {
  try {
    return readCheckpoint(jws, keys);
  } catch (err) {
    if (!(err instanceof BrokenReceipts) || err.fault !== "unknown_key") throw err;
    log.warn({ org, sequence, err }, "a chain of receipts is signed by another key than before");
    return undefined;
  }
}

/** Throws BrokenReceipts unless the chain is whole from a checkpoint, or from its first entry, to its head. */
async function checkChain(
  store: Store,
  org: string,
  from: Checkpoint | undefined,
  head: Head,
): Promise<void> {
  if (from && from.org !== org) throw new BrokenReceipts("other_organization", "a checkpoint is another's");
  let { sequence, hash } = from ?? { sequence: 0, hash: chainStart(org) };
  let isFirst = from === undefined;
  for await (const { previous, receipts } of blocksBetween(store, org, sequence, head.sequence)) {
    const first = receipts[0]?.entry.sequence ?? 1;
    // Without a checkpoint, what was before entries that are no longer kept is not known.
    if (isFirst && first > 1) [sequence, hash] = [first - 1, previous];
    isFirst = false;
    for (const { entry, hash: said } of receipts) {
      if (entry.sequence <= sequence) continue;
      if (entry.sequence !== sequence + 1 || chainHash(hash, entry) !== said) throw broken(sequence + 1);
      sequence = entry.sequence;
      hash = said;
    }
  }
  if (sequence !== head.sequence || hash !== head.hash) throw broken(sequence);
}

const broken = (sequence: number) =>
  new BrokenReceipts("wrong_hash", `the chain is not whole at entry ${sequence}`, sequence);
