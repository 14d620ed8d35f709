import type { Item, Store } from "../store/store.ts";
import { type Block, blocksPartition, bySequence } from "./records.ts";

/** Read at once: a block has at most 380 KiB. */
const BLOCKS_AT_ONCE = 8;

/** Blocks with entries after a sequence, up to another one, in order. */
export async function* blocksBetween(
  store: Store,
  org: string,
  sequence: number,
  upTo?: number,
): AsyncGenerator<Block> {
  let after = bySequence(sequence);
  const end = upTo === undefined ? {} : { upTo: bySequence(upTo) };
  for (;;) {
    const page = await store.query<Block>(blocksPartition(org), { after, ...end, limit: BLOCKS_AT_ONCE });
    yield* page.map(({ body }) => body);
    after = page.at(-1)?.sort ?? after;
    if (page.length < BLOCKS_AT_ONCE) return;
  }
}

/** Blocks with entries before a sequence, the newest first. */
export async function* blocksBefore(store: Store, org: string, sequence: number): AsyncGenerator<Block> {
  const partition = blocksPartition(org);
  // Its last entry may come after the sequence.
  const [first] = await store.query<Block>(partition, { after: bySequence(sequence - 2), limit: 1 });
  if (first) yield first.body;
  let after = first?.sort;
  for (;;) {
    const range = { descending: true, limit: BLOCKS_AT_ONCE, ...(after !== undefined && { after }) };
    const page: Item<Block>[] = await store.query<Block>(partition, range);
    yield* page.map(({ body }) => body);
    after = page.at(-1)?.sort;
    if (page.length < BLOCKS_AT_ONCE) return;
  }
}
