import type { SQLInputValue } from "node:sqlite";
import { openDatabase } from "../../shared/sqlite/database.ts";
import { Transactions } from "../../shared/sqlite/transactions.ts";
import { BOUNDARY_KEYS, bodyText, boundsOf, checkKey, checkWrites } from "./limits.ts";
import { type Item, type Key, type Store, StoreUnavailableError, type Write } from "./store.ts";

export interface SqliteStoreOptions {
  /** Milliseconds since 1970. */
  now?: () => number;
  /** How often expired items are deleted. */
  sweepMs?: number;
}

const SWEEP_MS = 60_000;
/** Deleted in one transaction, so that a sweep does not hold up writes. */
const SWEEP_ITEMS = 1_000;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS items (
    "partition" TEXT NOT NULL,
    sort TEXT NOT NULL,
    body TEXT NOT NULL,
    revision INTEGER NOT NULL,
    expires INTEGER,
    PRIMARY KEY ("partition", sort)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS items_by_expiry ON items (expires) WHERE expires IS NOT NULL;
`;

const ALIVE = "(expires IS NULL OR expires > :now)";
const SELECT = `SELECT "partition", sort, body, revision FROM items WHERE "partition" = :partition`;
const RANGE = `${SELECT} AND sort >= :from AND sort <= :to AND ${ALIVE} ORDER BY sort`;

/** Rolls back the writes of one call. */
const UNMET = Symbol("a condition does not hold");
/** Greater than every text, because SQLite sorts BLOBs after them. */
const END = new Uint8Array();

/**
 * The store in a SQLite file that the intakes of one machine share. A resolved write survives a power failure. What is
 * deleted or overwritten is gone from the file and its log after two seconds.
 */
export async function sqliteStore(file: string, options: SqliteStoreOptions = {}): Promise<Store> {
  const { now = Date.now, sweepMs = SWEEP_MS } = options;
  const seconds = () => Math.floor(now() / 1000);
  const database = await openDatabase(file, SCHEMA).catch((cause) => {
    throw unavailable(cause);
  });
  const { connection } = database;
  const transactions = new Transactions(database, unavailable);
  const one = connection.prepare(`${SELECT} AND sort = :sort AND ${ALIVE}`);
  const ascending = connection.prepare(`${RANGE} LIMIT :limit`);
  const descending = connection.prepare(`${RANGE} DESC LIMIT :limit`);
  const put = connection.prepare(`
    INSERT INTO items VALUES (:partition, :sort, :body, coalesce(:revision, 1), :expires)
    ON CONFLICT DO UPDATE SET body = :body, revision = coalesce(:revision, revision + 1), expires = :expires
  `);
  const remove = connection.prepare(`DELETE FROM items WHERE "partition" = :partition AND sort = :sort`);
  const revision = connection.prepare(
    `SELECT revision FROM items WHERE "partition" = :partition AND sort = :sort AND ${ALIVE}`,
  );
  const sweep = connection.prepare(
    "DELETE FROM items WHERE rowid IN (SELECT rowid FROM items WHERE expires <= :now LIMIT :limit)",
  );

  /** Reads see every write that is committed, also those that are not yet on the disk. */
  const read = (run: () => Record<string, unknown>[]) => transactions.read(run).map(itemOf);

  const apply = (writes: (Write & { text: string })[]): void => {
    const time = seconds();
    for (const write of writes) {
      const { partition, sort, expect } = write;
      if (expect !== undefined) {
        const found = revision.get({ partition, sort, now: time })?.revision ?? 0;
        if (found !== expect) throw UNMET;
      }
      if ("remove" in write) remove.run({ partition, sort });
      else {
        const revision = expect === undefined ? null : expect + 1;
        put.run({ partition, sort, body: write.text, revision, expires: write.expiresAt ?? null });
      }
    }
  };

  const sweepNow = async (): Promise<void> => {
    const { changes } = await transactions.run(() => sweep.run({ now: seconds(), limit: SWEEP_ITEMS }));
    if (changes === SWEEP_ITEMS) await sweepNow();
  };
  // What a sweep could not delete stays expired, and the next one deletes it.
  const timer = setInterval(() => void sweepNow().catch(() => {}), sweepMs).unref();

  return {
    async get(key: Key) {
      checkKey(key);
      return read(() => one.all({ ...keyOf(key), now: seconds() }))[0];
    },
    async query(partition, range) {
      checkKey({ partition, sort: "-" });
      const bounds = boundsOf(range);
      if (!bounds) return [];
      const parameters: Record<string, SQLInputValue> = {
        partition,
        from: bounds.from ?? "",
        to: bounds.to ?? END,
        limit: bounds.limit + BOUNDARY_KEYS,
        now: seconds(),
      };
      const items = read(() => (bounds.descending ? descending : ascending).all(parameters));
      return items.filter(({ sort }) => bounds.includes(sort)).slice(0, bounds.limit);
    },
    async write(writes) {
      checkWrites(writes);
      const prepared = writes.map((write) => ({
        ...write,
        text: "remove" in write ? "" : bodyText(write.body),
      }));
      try {
        await transactions.run(() => apply(prepared));
        await transactions.sync();
        return true;
      } catch (error) {
        if (error === UNMET) return false;
        throw error;
      }
    },
    async close() {
      clearInterval(timer);
      await transactions.close();
    },
  };
}

const keyOf = ({ partition, sort }: Key) => ({ partition, sort });

const itemOf = ({ partition, sort, body, revision }: Record<string, unknown>): Item<never> => ({
  partition: String(partition),
  sort: String(sort),
  body: JSON.parse(String(body)) as never,
  revision: Number(revision),
});

const unavailable = (cause: unknown): StoreUnavailableError =>
  new StoreUnavailableError("the store's file cannot be used now", { cause });
