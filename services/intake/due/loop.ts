import { setTimeout as sleep } from "node:timers/promises";
import type { Intake } from "../dependencies.ts";
import type { Item } from "../store/store.ts";
import { DUE_PARTITIONS, type Due, dueBy, dueKey } from "./due-items.ts";

/** Does what is due. It removes the item, together with what it does; it may be called for the same item elsewhere too. */
export type DueHandler = (item: Item<Due>) => Promise<void>;
export type DueHandlers = Record<Due["type"], DueHandler>;

const EVERY_MS = 1_000;
const AT_ONCE = 8;
const BATCH = 48;
/** What failed is due again after this time. */
const POSTPONE_SECONDS = 30;

export interface DueLoop {
  /** Does everything that is due now, once. */
  pass(): Promise<void>;
  start(): void;
  /** Resolves once the pass in progress has ended. */
  stop(): Promise<void>;
}

/** Does what is due, about once a second. Several intakes may: each item's conditional write lets one of them. */
export function createDueLoop(intake: Intake, handlers: DueHandlers, everyMs = EVERY_MS): DueLoop {
  const { store, log, now } = intake;
  const stopping = new AbortController();
  let running: Promise<void> = Promise.resolve();
  const seconds = () => Math.floor(now() / 1000);

  /** False if the item is still due: the store refuses to postpone it. */
  const handle = async (item: Item<Due>): Promise<boolean> => {
    try {
      await handlers[item.body.type](item);
      return true;
    } catch (err) {
      log.error({ due: item.body.type, org: item.body.org, err }, "something due failed; it is tried again");
      return postpone(intake, item, POSTPONE_SECONDS).then(
        () => true,
        () => false,
      );
    }
  };

  const passPartition = async (partition: string): Promise<void> => {
    for (let hasMore = true; hasMore && !stopping.signal.aborted; ) {
      const items = await store.query<Due>(partition, { upTo: dueBy(seconds()), limit: BATCH });
      for (let at = 0; at < items.length && !stopping.signal.aborted; at += AT_ONCE) {
        const handled = await Promise.all(items.slice(at, at + AT_ONCE).map(handle));
        // The next pass comes after a wait; here the same items would be tried again without one.
        if (handled.includes(false)) return;
      }
      hasMore = items.length === BATCH;
    }
  };

  const pass = async (): Promise<void> => {
    for (const partition of DUE_PARTITIONS) {
      await passPartition(partition).catch((err: unknown) => log.warn({ err }, "what is due cannot be read"));
    }
  };

  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await pass();
      // Random, so that intakes do not all try for the same items at once.
      await sleep(everyMs * (0.5 + Math.random()), undefined, { signal: stopping.signal }).catch(() => {});
    }
  };

  return {
    pass,
    start() {
      running = run();
    },
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

/** Moves an item to a later time. Returns the moved item's key; undefined if another intake has taken the item. */
export async function postpone(
  { store, now }: Pick<Intake, "store" | "now">,
  item: Item<Due>,
  seconds: number,
): Promise<{ partition: string; sort: string } | undefined> {
  const { partition, sort, revision, body } = item;
  const key = dueKey(body, Math.floor(now() / 1000) + seconds);
  const isMoved = await store.write([
    { partition, sort, remove: true, expect: revision },
    { ...key, body },
  ]);
  return isMoved ? key : undefined;
}
