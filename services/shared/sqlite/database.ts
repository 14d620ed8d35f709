import { chmod, type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { coalesce } from "../coalesce.ts";
import { makeFolder } from "../files.ts";
import { poll } from "../poll.ts";

/** How long a call waits for another process's lock. It blocks the event loop; transactions are far shorter. */
const BUSY_MS = 2_000;
const OPEN_MS = 10_000;
/** 4 GiB of 4 KiB pages: a file that grows without end fails by itself, and not everything on its disk with it. */
const MAX_PAGES = 1_048_576;
/** 16 MiB. Scheduled checkpoints come first, except under load. */
const AUTO_CHECKPOINT_PAGES = 4_000;

/** Primary result codes of SQLite, https://sqlite.org/rescode.html. */
const BUSY = 5;
const LOCKED = 6;
/** Busy, locked, out of memory, read only, interrupted, input or output, full, cannot open, locking protocol. */
const UNAVAILABLE = [BUSY, LOCKED, 7, 8, 9, 10, 13, 14, 15];

/** A SQLite file that several processes of one machine share. */
export interface Database {
  connection: DatabaseSync;
  /**
   * Resolves once everything committed before the call survives a power failure. A commit itself survives the end of
   * any process, but does not wait for the disk, because SQLite would block the event loop for it.
   */
  sync(): Promise<void>;
  /**
   * Moves the write-ahead log into the file and empties it, so that nothing deleted remains there. Returns false if
   * another process was reading: call it again later.
   */
  checkpoint(): boolean;
  close(): Promise<void>;
}

/**
 * Opens or creates a SQLite file (mode 0600, in a folder of mode 0700) and runs the schema's statements, which must be
 * idempotent. SQLite overwrites deleted data with zeros.
 */
export async function openDatabase(file: string, schema: string): Promise<Database> {
  await makeFolder(dirname(file));
  // SQLite would create the file by the process's umask; its log and index take the file's mode.
  await (await open(file, "a", 0o600)).close();
  await chmod(file, 0o600);
  const connection = new DatabaseSync(file, { timeout: BUSY_MS });
  let log: FileHandle;
  try {
    // SQLite does not wait for the lock that switching to a write-ahead log takes.
    const isReady = await poll(async () => trySetUp(connection, schema) || undefined, {
      everyMs: 20,
      withinMs: OPEN_MS,
    });
    if (!isReady) throw new Error(`${file}: locked by another process`);
    // Not the database file itself: closing a second descriptor of that would release SQLite's locks.
    log = await open(`${file}-wal`, "r+");
  } catch (error) {
    connection.close();
    throw error;
  }
  const sync = coalesce(() => log.datasync());
  const checkpoint = connection.prepare("PRAGMA wal_checkpoint(TRUNCATE)");
  return {
    connection,
    sync,
    checkpoint: () => checkpoint.get()?.busy === 0,
    async close() {
      // Callers whose transaction was committed just now ask for their sync during the first one.
      await sync().catch(() => {});
      await sync().catch(() => {});
      await log.close();
      connection.close();
    },
  };
}

/** Whether SQLite could not do something now that it may be able to do later. */
export const isUnavailable = (error: unknown): boolean => UNAVAILABLE.includes(resultCode(error));

/** The primary result code; 0 for an error that is not SQLite's. */
function resultCode(error: unknown): number {
  const { code, errcode } = error as { code?: string; errcode?: number };
  return code === "ERR_SQLITE_ERROR" && errcode !== undefined ? errcode & 0xff : 0;
}

function trySetUp(connection: DatabaseSync, schema: string): boolean {
  try {
    connection.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = NORMAL;
      PRAGMA secure_delete = ON;
      PRAGMA trusted_schema = OFF;
      PRAGMA max_page_count = ${MAX_PAGES};
      PRAGMA wal_autocheckpoint = ${AUTO_CHECKPOINT_PAGES};
      BEGIN IMMEDIATE;
      ${schema};
      COMMIT;
      PRAGMA wal_checkpoint(TRUNCATE);
    `);
    return true;
  } catch (error) {
    if (connection.isTransaction) connection.exec("ROLLBACK");
    if ([BUSY, LOCKED].includes(resultCode(error))) return false;
    throw error;
  }
}
