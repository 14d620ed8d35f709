import { StrongroomError } from "../shared/errors.ts";
import type { Store, Write } from "./store/store.ts";

/** How many of each an organization may have. */
export const MOST = { credentials: 1_000, schedules: 100, webhooks: 100, feeds: 100 } as const;
export type Counted = keyof typeof MOST;

/**
 * The write that counts one more or one fewer, to be part of the same write as the thing itself. Throws `conflict` if
 * there would be too many.
 */
export async function countWrite(store: Store, org: string, what: Counted, change: 1 | -1): Promise<Write> {
  const key = { partition: `org/${org}/counts`, sort: what };
  const found = await store.get<{ count: number }>(key);
  const count = Math.max(0, (found?.body.count ?? 0) + change);
  if (change > 0 && count > MOST[what]) {
    const detail = `The organization has ${MOST[what]} ${what}, as many as it may have. Delete one first.`;
    throw new StrongroomError("conflict", detail);
  }
  return { ...key, body: { count }, expect: found?.revision ?? 0 };
}
