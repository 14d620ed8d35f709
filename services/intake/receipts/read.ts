import type {
  CheckpointPage,
  CheckpointsQuery,
  ReceiptPage,
  ReceiptsQuery,
} from "../../shared/api/receipts.ts";
import { StrongroomError } from "../../shared/errors.ts";
import type { ChainPosition, ExportLine } from "../../shared/receipts/export.ts";
import { chainStart, type Receipt } from "../../shared/receipts/receipt.ts";
import { pageLimit } from "../http/paging.ts";
import type { Store } from "../store/store.ts";
import { blocksBefore, blocksBetween } from "./blocks.ts";
import { newestCheckpoint } from "./checkpoints.ts";
import { bySequence, checkpointsPartition, type Head, headKey, type StoredCheckpoint } from "./records.ts";

/** A page is looked for in so many blocks; then the caller asks again. */
const MOST_BLOCKS = 256;
const CHECKPOINTS_AT_ONCE = 100;

async function headOf(store: Store, org: string): Promise<ChainPosition> {
  const { body } = (await store.get<Head>(headKey(org))) ?? {};
  return body ?? { sequence: 0, hash: chainStart(org) };
}

/** One page of an organization's receipts, looked for in a bounded number of blocks. */
export async function listReceipts(
  { store, now }: { store: Store; now(): number },
  org: string,
  query: ReceiptsQuery,
): Promise<ReceiptPage> {
  if (query.after !== undefined && query.before !== undefined) {
    throw new StrongroomError("invalid_request", "Pass `after` or `before`, not both.");
  }
  const [head, checkpoint] = await Promise.all([headOf(store, org), newestCheckpoint(store, org)]);
  const isForward = query.after !== undefined;
  const from = Number(query.after ?? query.before ?? head.sequence + 1);
  const limit = pageLimit(query);
  const receipts: Receipt[] = [];
  let last = from;
  let hasMore = false;
  let read = 0;
  const pieces = isForward ? blocksBetween(store, org, from) : blocksBefore(store, org, from);
  search: for await (const block of pieces) {
    hasMore = read++ === MOST_BLOCKS;
    if (hasMore) break;
    const found = block.receipts.map((receipt, index) => ({ receipt, credential: block.credentials[index] }));
    for (const { receipt, credential } of isForward ? found : found.reverse()) {
      const { sequence, id } = receipt.entry;
      if (isForward ? sequence <= from : sequence >= from) continue;
      hasMore = receipts.length === limit;
      if (hasMore) break search;
      last = sequence;
      const isWanted = credential === (query.credential ?? credential) && id === (query.id ?? id);
      if (isWanted) receipts.push(receipt);
    }
  }
  return {
    ...{ receipts, head },
    ...(checkpoint && { checkpoint: signedOf(checkpoint, now()) }),
    ...(hasMore && { next: String(last) }),
  };
}

const signedOf = ({ sequence, at }: StoredCheckpoint, now: number) => ({
  ...{ sequence, at, ageSeconds: Math.max(0, Math.round((now - Date.parse(at)) / 1000)) },
});

/** One page of an organization's checkpoints, the newest first. */
export async function listCheckpoints(
  store: Store,
  org: string,
  query: CheckpointsQuery,
): Promise<CheckpointPage> {
  const limit = pageLimit(query);
  const found = await store.query<StoredCheckpoint>(checkpointsPartition(org), {
    ...{ descending: true, limit: limit + 1 },
    ...(query.before !== undefined && { after: bySequence(Number(query.before)) }),
  });
  const checkpoints = found.slice(0, limit).map(({ body: { sequence, at, jws } }) => ({ sequence, at, jws }));
  const last = checkpoints.at(-1);
  return { checkpoints, ...(found.length > limit && last && { next: String(last.sequence) }) };
}

/**
 * An organization's whole chain as it is in the store, with its checkpoints, a few blocks at a time. What is written
 * meanwhile is not in it.
 */
export async function* exportReceipts(
  { store, now }: { store: Store; now(): number },
  org: string,
): AsyncGenerator<ExportLine> {
  const at = new Date(now()).toISOString();
  // Before the head: no checkpoint may be about what comes after that.
  const newest = await newestCheckpoint(store, org);
  const head = await headOf(store, org);
  const checkpoints = checkpointsUpTo(store, org, newest?.sequence ?? 0);
  let checkpoint = await checkpoints.next();
  let isBegun = false;
  const begin = (after: ChainPosition): ExportLine => {
    isBegun = true;
    return { chain: { org, at, after } };
  };
  for await (const { previous, receipts } of blocksBetween(store, org, 0, head.sequence)) {
    if (!isBegun) yield begin({ sequence: (receipts[0]?.entry.sequence ?? 1) - 1, hash: previous });
    for (const receipt of receipts) {
      for (; !checkpoint.done && checkpoint.value.sequence < receipt.entry.sequence; ) {
        yield { checkpoint: checkpoint.value.jws };
        checkpoint = await checkpoints.next();
      }
      yield receipt;
    }
  }
  if (!isBegun) yield begin(head);
  for (; !checkpoint.done; checkpoint = await checkpoints.next()) yield { checkpoint: checkpoint.value.jws };
  yield { end: head };
}

async function* checkpointsUpTo(
  store: Store,
  org: string,
  newest: number,
): AsyncGenerator<StoredCheckpoint, undefined> {
  if (newest === 0) return undefined;
  let after: string | undefined;
  for (;;) {
    const range = {
      upTo: bySequence(newest),
      limit: CHECKPOINTS_AT_ONCE,
      ...(after !== undefined && { after }),
    };
    const page = await store.query<StoredCheckpoint>(checkpointsPartition(org), range);
    yield* page.map(({ body }) => body);
    after = page.at(-1)?.sort;
    if (page.length < CHECKPOINTS_AT_ONCE) return undefined;
  }
}
