import { chmod, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { openDatabase } from "../../../services/shared/sqlite/database.ts";
import { test } from "../../harness/folder.ts";

const SCHEMA = "CREATE TABLE IF NOT EXISTS t (a TEXT)";

test("many may open and create a file at once", async ({ folder }) => {
  const file = join(folder, "a", "data.sqlite");
  const databases = await Promise.all(Array.from({ length: 8 }, () => openDatabase(file, SCHEMA)));
  for (const { connection } of databases) connection.exec("INSERT INTO t VALUES ('a')");
  expect(databases[0]?.connection.prepare("SELECT count(*) AS n FROM t").get()).toEqual({ n: 8 });
  await Promise.all(databases.map((each) => each.close()));
  // The last one leaves no log behind.
  expect(await readdir(join(folder, "a"))).toEqual(["data.sqlite"]);
});

test("a file that others could read is for its owner alone afterwards", async ({ folder }) => {
  const file = join(folder, "data.sqlite");
  await writeFile(file, "");
  await chmod(file, 0o644);
  const database = await openDatabase(file, SCHEMA);
  for (const each of await readdir(folder)) expect((await stat(join(folder, each))).mode & 0o777).toBe(0o600);
  await database.close();
});

test("a checkpoint empties the log, unless somebody reads", async ({ folder }) => {
  const file = join(folder, "data.sqlite");
  const [writer, reader] = [await openDatabase(file, SCHEMA), await openDatabase(file, SCHEMA)];
  const logSize = async () => (await stat(`${file}-wal`)).size;
  writer.connection.exec("PRAGMA busy_timeout = 50");
  reader.connection.exec("BEGIN; SELECT * FROM t");
  writer.connection.exec("INSERT INTO t VALUES ('a')");
  await writer.sync();
  expect(await logSize()).toBeGreaterThan(0);
  expect(writer.checkpoint()).toBe(false);
  reader.connection.exec("COMMIT");
  expect(writer.checkpoint()).toBe(true);
  expect(await logSize()).toBe(0);
  await writer.close();
  await reader.close();
});

test("a schema that is wrong is an error, and leaves nothing open", async ({ folder }) => {
  await expect(openDatabase(join(folder, "data.sqlite"), "CREATE NONSENSE")).rejects.toThrow(/syntax error/);
});
