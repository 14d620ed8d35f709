import type { DatabaseSync } from "node:sqlite";
import type { DeadLetter, Outgoing } from "./queue.ts";

/**
 * Tables of an embedded queue. A message is *ready* if it has a turn, and *waiting* otherwise: until a delay or a lease
 * ends. A lease is the pair of a message's id and its count of receives: ids are never used again, and each receive
 * counts up, so that a lease that was lost can neither delete nor extend.
 */
export const SCHEMA = `
  CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    "group" TEXT NOT NULL,
    turn INTEGER,
    visible_at INTEGER NOT NULL,
    receives INTEGER NOT NULL DEFAULT 0,
    body TEXT NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS messages_ready ON messages (turn, id, "group") WHERE turn IS NOT NULL;
  CREATE INDEX IF NOT EXISTS messages_waiting ON messages (visible_at) WHERE turn IS NULL;
  CREATE INDEX IF NOT EXISTS messages_by_group ON messages ("group", turn) WHERE turn IS NOT NULL;
  CREATE TABLE IF NOT EXISTS clock (only INTEGER PRIMARY KEY CHECK (only = 1), turn INTEGER NOT NULL) STRICT;
  INSERT OR IGNORE INTO clock VALUES (1, 0);
  CREATE TABLE IF NOT EXISTS dead (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    "group" TEXT NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL
  ) STRICT;
`;

/** How many messages whose wait has ended become ready in one receive. */
const PROMOTE = 200;
/** How many ready messages one receive looks through for groups that may have more in hand. */
const LOOK_THROUGH = 1_000;
/** SQS keeps dead letters for 14 days too. */
const KEEP_DEAD_MS = 14 * 86_400_000;

/** A message in hand. */
export interface Leased {
  id: number;
  group: string;
  receives: number;
  body: string;
}

/**
 * The statements on a queue's tables; each method runs inside a transaction. Times are milliseconds since 1970.
 *
 * Groups share by start-time fair queueing: a message's turn is the one after its group's last, but not before the turn
 * that was served last. A group with 500 messages has 500 turns ahead; another group's first message gets the next one.
 */
export function messageTable(connection: DatabaseSync) {
  const insert = connection.prepare(
    `INSERT INTO messages ("group", turn, visible_at, body) VALUES (:group, :turn, :visibleAt, :body)`,
  );
  const nextTurn = connection.prepare(`
    SELECT max(coalesce((SELECT max(turn) FROM messages WHERE "group" = :group AND turn IS NOT NULL), 0), turn) + 1 AS turn
    FROM clock
  `);
  const due = connection.prepare(
    `SELECT id, "group" FROM messages WHERE turn IS NULL AND visible_at <= :now ORDER BY visible_at LIMIT ${PROMOTE}`,
  );
  const promote = connection.prepare("UPDATE messages SET turn = :turn WHERE id = :id");
  const ready = connection.prepare(
    `SELECT id, "group", turn FROM messages WHERE turn IS NOT NULL ORDER BY turn, id LIMIT ${LOOK_THROUGH}`,
  );
  const lease = connection.prepare(`
    UPDATE messages SET turn = NULL, visible_at = :visibleAt, receives = receives + 1 WHERE id = :id
    RETURNING id, "group", receives, body
  `);
  const serve = connection.prepare("UPDATE clock SET turn = max(turn, :turn)");
  const remove = connection.prepare("DELETE FROM messages WHERE id = :id AND receives = :receives");
  const wait = connection.prepare(
    "UPDATE messages SET turn = NULL, visible_at = :visibleAt WHERE id = :id AND receives = :receives",
  );
  const bury = connection.prepare(`
    INSERT INTO dead ("group", reason, at, body)
    SELECT "group", :reason, :now, body FROM messages WHERE id = :id AND receives = :receives
  `);
  const forget = connection.prepare("DELETE FROM dead WHERE at < :before");
  const soonest = connection.prepare(`
    SELECT EXISTS (SELECT 1 FROM messages WHERE turn IS NOT NULL) AS ready,
      (SELECT min(visible_at) FROM messages WHERE turn IS NULL) AS due
  `);
  const listDead = connection.prepare("SELECT id, reason, at, body FROM dead ORDER BY id LIMIT :limit");
  const takeDead = connection.prepare(`
    DELETE FROM dead WHERE id IN (SELECT id FROM dead WHERE :id IS NULL OR id = :id ORDER BY id LIMIT :limit)
    RETURNING "group", body
  `);

  const turnOf = (group: string): number => Number(nextTurn.get({ group })?.turn);

  const add = ({ group, body, delaySeconds = 0 }: Outgoing, now: number): void => {
    const turn = delaySeconds > 0 ? null : turnOf(group);
    insert.run({ group, turn, visibleAt: now + delaySeconds * 1000, body });
  };

  const park = ({ id, receives }: Leased, reason: string, now: number): boolean => {
    if (bury.run({ id, receives, reason, now }).changes === 0) return false;
    remove.run({ id, receives });
    forget.run({ before: now - KEEP_DEAD_MS });
    return true;
  };

  return {
    add,
    park,

    /**
     * Leases up to `limit` messages. `mayTake` is asked for each one's group, and counts those it lets through.
     * `tooOften` gets those that were leased more often than `maxReceives`, and removes or parks them.
     */
    receive(
      now: number,
      options: {
        limit: number;
        visibilityMs: number;
        maxReceives: number;
        mayTake(group: string): boolean;
        tooOften(message: Leased): void;
      },
    ): Leased[] {
      for (const { id, group } of due.all({ now })) {
        promote.run({ id: Number(id), turn: turnOf(String(group)) });
      }
      const taken: { id: number; turn: number }[] = [];
      for (const { id, group, turn } of ready.iterate()) {
        if (options.mayTake(String(group))) taken.push({ id: Number(id), turn: Number(turn) });
        if (taken.length === options.limit) break;
      }
      const leased: Leased[] = [];
      for (const { id } of taken) {
        const message = lease.get({ id, visibleAt: now + options.visibilityMs }) as unknown as Leased;
        if (message.receives > options.maxReceives) options.tooOften(message);
        else leased.push(message);
      }
      const last = taken.at(-1);
      if (last) serve.run({ turn: last.turn });
      return leased;
    },

    /** Deletes a message in hand. Returns false if its lease was lost, as do `extend` and `park`. */
    remove: ({ id, receives }: Leased): boolean => remove.run({ id, receives }).changes > 0,

    /** Keeps a message in hand, or has it come again at that time. */
    extend: ({ id, receives }: Leased, visibleAt: number): boolean =>
      wait.run({ id, receives, visibleAt }).changes > 0,

    /** When there is something to receive: a time, 0 for now, undefined if the queue is empty. */
    soonest(): number | undefined {
      const { ready: isReady, due: time } = soonest.get() ?? {};
      if (isReady === 1) return 0;
      return time === null || time === undefined ? undefined : Number(time);
    },

    listDead: (limit: number): DeadLetter[] =>
      listDead.all({ limit }).map(({ id, reason, at, body }) => ({
        id: String(id),
        reason: String(reason),
        at: Number(at),
        body: String(body),
      })),

    /** Puts dead letters back as new messages. Returns how many. */
    redrive(id: number | null, limit: number, now: number): number {
      const letters = takeDead.all({ id, limit });
      for (const { group, body } of letters) add({ group: String(group), body: String(body) }, now);
      return letters.length;
    },
  };
}

export type MessageTable = ReturnType<typeof messageTable>;
