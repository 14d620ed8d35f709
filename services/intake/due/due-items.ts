import type { Kind } from "../../shared/work/kinds.ts";
import type { Key, Write } from "../store/store.ts";

/**
 * Something that some intake must do at a time:
 * `send` a job that is not known to be in its queue (the outbox), end a job whose worker said nothing (`overdue`), start
 * a schedule's slot (`schedule`), a delivery's next attempt (`retry`), the next fetch of a feed (`feed`), start
 * a rotation or do its next step (`rotation`), make a webhook's next secret (`webhook-rotation`), sign where a
 * chain of receipts stands (`checkpoint`), complete receipts that nobody else will (`unfinished`).
 */
export type Due =
  | { type: "send" | "overdue" | "retry"; org: string; kind: Kind; id: string; attempt: number }
  | { type: "checkpoint" | "unfinished"; org: string; name: string }
  | (Recurring & {
      /** The slot, in seconds since 1970: an item may have been postponed beyond it. */
      slot: number;
    });

/** What is due again and again, with one item at a time. */
export interface Recurring {
  type: "schedule" | "feed" | "rotation" | "webhook-rotation";
  org: string;
  name: string;
}

/** Items are spread over so many partitions, since one takes about a thousand writes a second. */
const SHARDS = 4;

/** All partitions of due items. */
export const DUE_PARTITIONS = Array.from({ length: SHARDS }, (_, shard) => `due/${shard}`);

/** Where an item that is due at this second is kept; the same for the same item and time. */
export function dueKey(due: Due, seconds: number): Key {
  const name = "id" in due ? `${due.id}/${due.attempt}` : due.name;
  let hash = 0;
  for (const char of `${due.org}${name}`) hash = (hash * 31 + char.charCodeAt(0)) >>> 0;
  return {
    partition: DUE_PARTITIONS[hash % SHARDS] as string,
    sort: `${time(seconds)}/${due.type}/${due.org}/${name}`,
  };
}

/** The greatest sort key of what is due by this second. */
export const dueBy = (seconds: number): string => `${time(seconds)}/~`;

const time = (seconds: number): string => String(seconds).padStart(12, "0");

export const putDue = (due: Due, seconds: number): Write => ({ ...dueKey(due, seconds), body: due });
export const removeDue = (due: Due, seconds: number): Write => ({ ...dueKey(due, seconds), remove: true });

/** Writes that move the item of something recurring from one slot to another; undefined: it has none. */
export function moveDue(what: Recurring, from: number | undefined, to: number | undefined): Write[] {
  if (from === to) return [];
  return [
    ...(from === undefined ? [] : [removeDue({ ...what, slot: from }, from)]),
    ...(to === undefined ? [] : [putDue({ ...what, slot: to }, to)]),
  ];
}
