import { StrongroomError } from "../../shared/errors.ts";
import type { Item, Store } from "../store/store.ts";

const DEFAULT_PAGE = 50;

/** The query of a list, as `PageQuery` in shared/api/pages.ts allows it. */
export interface PageAsked {
  limit?: string;
  cursor?: string;
}

/** How many items a page may have. */
export const pageLimit = ({ limit }: PageAsked): number =>
  limit === undefined ? DEFAULT_PAGE : Number(limit);

/** The sort key after which a page begins. Throws `invalid_request` for a cursor that no page returned. */
export function afterCursor({ cursor }: PageAsked): { after?: string } {
  if (cursor === undefined) return {};
  const after = Buffer.from(cursor, "base64url").toString("utf8");
  if (after === "" || asCursor(after) !== cursor) {
    throw new StrongroomError("invalid_request", "The cursor is not one that a page returned as `next`.");
  }
  return { after };
}

/** The cursor of what comes after a sort key. */
export const asCursor = (sort: string): string => Buffer.from(sort, "utf8").toString("base64url");

/** One page of a partition, with the cursor of the next one if there is more. */
export async function readPage<T>(
  store: Store,
  partition: string,
  asked: PageAsked,
  order: { descending?: boolean } = {},
): Promise<{ items: Item<T>[]; next?: string }> {
  const limit = pageLimit(asked);
  const found = await store.query<T>(partition, { ...order, ...afterCursor(asked), limit: limit + 1 });
  const items = found.slice(0, limit);
  const last = items.at(-1);
  return { items, ...(found.length > limit && last && { next: asCursor(last.sort) }) };
}
