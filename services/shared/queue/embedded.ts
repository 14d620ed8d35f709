import { openDatabase } from "../sqlite/database.ts";
import { Transactions } from "../sqlite/transactions.ts";
import { consumeEmbedded } from "./embedded-consumption.ts";
import { messageTable, SCHEMA } from "./embedded-messages.ts";
import { checkOutgoing } from "./limits.ts";
import { type DeadLetters, type Queue, QueueUnavailableError } from "./queue.ts";
import { Wake } from "./wake.ts";

/** Redriven in one transaction. */
const REDRIVE_AT_ONCE = 500;
const MOST_LISTED = 1_000;

export interface EmbeddedOptions {
  /** Milliseconds since 1970. */
  now?: () => number;
  /** Default true. Without them, what would be parked is deleted. */
  hasDeadLetters?: boolean;
}

/**
 * A queue in a SQLite file that processes of one machine share, and its dead letters. A message that was sent survives
 * the end of any process and a power failure.
 */
export async function embeddedQueue(
  file: string,
  { now = Date.now, hasDeadLetters = true }: EmbeddedOptions = {},
): Promise<Queue & { deadLetters: DeadLetters }> {
  const database = await openDatabase(file, SCHEMA).catch((cause) => {
    throw unavailable(cause);
  });
  const transactions = new Transactions(database, unavailable);
  const messages = messageTable(database.connection);
  const wake = new Wake(`${file}-wake`);
  let consumption: ReturnType<typeof consumeEmbedded> | undefined;
  const close = async () => {
    await consumption?.stop(0);
    await transactions.close();
    wake.close();
  };
  let closed: Promise<void> | undefined;

  return {
    async send(message) {
      checkOutgoing(message);
      await transactions.run(() => messages.add(message, now()));
      wake.notify();
      await transactions.sync();
    },
    consume(options, handler) {
      if (consumption) throw new Error("a queue is consumed once");
      wake.listen();
      consumption = consumeEmbedded({ transactions, messages, wake, now, hasDeadLetters }, options, handler);
      return consumption;
    },
    close() {
      closed ??= close();
      return closed;
    },
    deadLetters: {
      list: async (limit) => transactions.read(() => messages.listDead(Math.min(limit, MOST_LISTED))),
      async redrive(id) {
        const one = id === undefined ? null : numberOf(id);
        if (one === undefined) return 0;
        let total = 0;
        for (let count = REDRIVE_AT_ONCE; count === REDRIVE_AT_ONCE; total += count) {
          count = await transactions.run(() => messages.redrive(one, REDRIVE_AT_ONCE, now()));
        }
        wake.notify();
        return total;
      },
    },
  };
}

const numberOf = (id: string): number | undefined => (/^[1-9]\d{0,14}$/.test(id) ? Number(id) : undefined);

const unavailable = (cause: unknown): QueueUnavailableError =>
  new QueueUnavailableError("the queue's file cannot be used now", { cause });
