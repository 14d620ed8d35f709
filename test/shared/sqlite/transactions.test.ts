import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect } from "vitest";
import { openDatabase } from "../../../services/shared/sqlite/database.ts";
import { Transactions } from "../../../services/shared/sqlite/transactions.ts";
import { test as inFolder } from "../../harness/folder.ts";

class Unavailable extends Error {}

const test = inFolder
  .extend("file", ({ folder }) => join(folder, "data.sqlite"))
  .extend("database", ({ file }) =>
    openDatabase(file, "CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY)"),
  )
  .extend("transactions", async ({ database }, { onCleanup }) => {
    const transactions = new Transactions(database, (cause) => new Unavailable("unavailable", { cause }));
    onCleanup(() => transactions.close());
    return transactions;
  });

describe("calls of one turn of the event loop", () => {
  test("share a transaction, and each is all or nothing", async ({ database, transactions }) => {
    const insert = database.connection.prepare("INSERT INTO t VALUES (?)");
    const results = await Promise.allSettled([
      transactions.run(() => insert.run(1).changes),
      transactions.run(() => {
        insert.run(2);
        throw new TypeError("on purpose");
      }),
      transactions.run(() => {
        insert.run(3);
        return insert.run(1);
      }),
      transactions.run(() => database.connection.prepare("SELECT count(*) AS n FROM t").get()?.n),
    ]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected", "fulfilled"]);
    expect(results[0]).toMatchObject({ value: 1 });
    expect(results[1]).toMatchObject({ reason: expect.any(TypeError) });
    // A later call of the transaction sees the earlier ones.
    expect(results[3]).toMatchObject({ value: 1 });
    expect(database.connection.prepare("SELECT a FROM t").all()).toEqual([{ a: 1 }]);
  });

  test("may be thousands, in the order of the calls", async ({ database, transactions }) => {
    const insert = database.connection.prepare("INSERT INTO t VALUES (?)");
    const order: number[] = [];
    await Promise.all(
      Array.from({ length: 1_700 }, (_, index) =>
        transactions.run(() => insert.run(index)).then(() => order.push(index)),
      ),
    );
    expect(order).toEqual(Array.from({ length: 1_700 }, (_, index) => index));
  });

  test("reject if another process holds the lock for too long, and later ones succeed", async ({
    file,
    database,
    transactions,
  }) => {
    const insert = database.connection.prepare("INSERT INTO t VALUES (?)");
    const other = new DatabaseSync(file);
    other.exec("BEGIN IMMEDIATE; INSERT INTO t VALUES (7)");
    await expect(transactions.run(() => insert.run(1))).rejects.toThrow(Unavailable);
    other.exec("COMMIT");
    other.close();
    await transactions.run(() => insert.run(2));
    expect(database.connection.prepare("SELECT a FROM t").all()).toEqual([{ a: 2 }, { a: 7 }]);
  });
});

test("a file that is full makes only what does not fit unavailable", async ({ database, transactions }) => {
  const { connection } = database;
  connection.exec("CREATE TABLE blobs (b BLOB); PRAGMA max_page_count = 50");
  const insert = connection.prepare("INSERT INTO blobs VALUES (zeroblob(?))");
  await expect(transactions.run(() => insert.run(1_000_000))).rejects.toThrow(Unavailable);
  await transactions.run(() => insert.run(1_000));
  expect(connection.prepare("SELECT length(b) AS n FROM blobs").all()).toEqual([{ n: 1_000 }]);
});

test("what is committed at the close stays, and later calls are refused", async ({
  file,
  database,
  transactions,
}) => {
  const insert = database.connection.prepare("INSERT INTO t VALUES (?)");
  const last = transactions.run(() => insert.run(5));
  await transactions.close();
  await last;
  await expect(transactions.run(() => insert.run(6))).rejects.toThrow(Unavailable);
  const again = new DatabaseSync(file);
  expect(again.prepare("SELECT a FROM t").all()).toEqual([{ a: 5 }]);
  again.close();
});
