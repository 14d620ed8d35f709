import { createHash } from "node:crypto";
import type { FeedItem } from "../../shared/work/messages.ts";
import type { Store, Write } from "../store/store.ts";
import { contentKey, type FeedContent, itemsPartition, type StoredFeedItem } from "./records.ts";

/** How many items of a feed are kept. */
export const MOST_ITEMS = 1_000;
/** The writes in one call, less that of the content. */
const WRITES = 9;

interface Fetched {
  items: readonly FeedItem[];
  etag?: string;
  lastModified?: string;
}

/**
 * Stores the items of a feed that are new, each once, however often its fetch is reported; the oldest ones beyond
 * {@link MOST_ITEMS} go. False if something else changed the feed's content in between.
 */
export async function storeItems(
  store: Store,
  { org, name }: { org: string; name: string },
  fetched: Fetched,
  at: string,
): Promise<boolean> {
  const key = contentKey(org, name);
  const found = await store.get<FeedContent>(key);
  let revision = found?.revision ?? 0;
  let known = refreshed(found?.body.known ?? [], fetched.items);
  const partition = itemsPartition(org, name);
  // Feeds list the newest first; readers get the oldest first.
  const fresh = newItems(known, fetched.items).reverse();
  let number = 0;
  const write = async (content: FeedContent, writes: Write[]): Promise<boolean> => {
    const isWritten = await store.write([{ ...key, body: content, expect: revision }, ...writes]);
    revision++;
    return isWritten;
  };
  while (fresh.length > 0) {
    const writes: Write[] = [];
    for (let item = fresh[0]; item; item = fresh[0]) {
      const evicted = known.length >= MOST_ITEMS ? known[0] : undefined;
      if (writes.length + (evicted ? 2 : 1) > WRITES) break;
      fresh.shift();
      const digest = digestOf(item.id);
      const sort = `${Date.parse(at).toString().padStart(15, "0")}-${String(number++).padStart(4, "0")}-${digest}`;
      const body: StoredFeedItem = { ...item, seenAt: at };
      writes.push({ partition, sort, body });
      if (evicted) writes.push({ partition, sort: evicted[1], remove: true });
      known = [...(evicted ? known.slice(1) : known), [digest, sort]];
    }
    // Without the validators: a fetch that is not stored as a whole must not become "not modified".
    if (!(await write({ known }, writes))) return false;
  }
  const { etag, lastModified } = fetched;
  return write(
    { known, ...(etag !== undefined && { etag }), ...(lastModified !== undefined && { lastModified }) },
    [],
  );
}

/** The known items with those that the feed still lists last, so that these are not evicted and seen as new again. */
function refreshed(known: FeedContent["known"], items: readonly FeedItem[]): FeedContent["known"] {
  const listed = new Set(items.map(({ id }) => digestOf(id)));
  const isListed = ([digest]: FeedContent["known"][number]) => listed.has(digest);
  return [...known.filter((each) => !isListed(each)), ...known.filter(isListed)];
}

function newItems(known: FeedContent["known"], items: readonly FeedItem[]): FeedItem[] {
  const digests = new Set(known.map(([digest]) => digest));
  return items.filter(({ id }) => {
    const digest = digestOf(id);
    if (digests.has(digest)) return false;
    digests.add(digest);
    return true;
  });
}

const digestOf = (id: string): string => createHash("sha256").update(id).digest("base64url").slice(0, 22);

/** Deletes all items of a feed. */
export async function deleteItems(store: Store, org: string, name: string): Promise<void> {
  const partition = itemsPartition(org, name);
  for (;;) {
    const items = await store.query(partition, { limit: WRITES });
    if (items.length === 0) return;
    await store.write(items.map(({ sort }) => ({ partition, sort, remove: true as const })));
  }
}
