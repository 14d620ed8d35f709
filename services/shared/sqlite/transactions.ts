import { type Database, isUnavailable } from "./database.ts";

/** How long deleted data may remain in the write-ahead log. */
const CHECKPOINT_MS = 2_000;
/** Bounds how long one transaction holds the lock. */
const MAX_CALLS = 500;

interface Call {
  work(): unknown;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/**
 * Access to a database. All writes of one turn of the event loop share a transaction, and each is a savepoint of its
 * own: one that throws changes nothing and does not affect the others.
 */
export class Transactions {
  readonly #database: Database;
  readonly #unavailable: (cause: unknown) => Error;
  #calls: Call[] = [];
  #checkpoint: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** `unavailable` makes the error that a call rejects with if the file is locked, full or gone. */
  constructor(database: Database, unavailable: (cause: unknown) => Error) {
    this.#database = database;
    this.#unavailable = unavailable;
  }

  /** Resolves with what `work` returns, once it is committed. */
  run<T>(work: () => T): Promise<T> {
    if (this.#isClosed) return Promise.reject(this.#unavailable(new Error("it is closed")));
    return new Promise<T>((resolve, reject) => {
      if (this.#calls.length === 0) setImmediate(() => this.#commit());
      this.#calls.push({ work, resolve: (result) => resolve(result as T), reject });
    });
  }

  /** Reads what is committed, outside of a transaction. */
  read<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw this.#converted(error);
    }
  }

  /** Resolves once everything that was committed before the call survives a power failure. */
  async sync(): Promise<void> {
    await this.#database.sync().catch((error) => {
      throw this.#unavailable(error);
    });
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    while (this.#calls.length > 0) this.#commit();
    if (this.#checkpoint) this.#emptyLog();
    clearTimeout(this.#checkpoint);
    await this.#database.close();
  }

  #commit(): void {
    const calls = this.#calls.splice(0, MAX_CALLS);
    if (calls.length === 0) return;
    if (this.#calls.length > 0) setImmediate(() => this.#commit());
    const { connection } = this.#database;
    const settled: (() => void)[] = [];
    try {
      connection.exec("BEGIN IMMEDIATE");
      for (const call of calls) settled.push(this.#runOne(call));
      connection.exec("COMMIT");
    } catch (error) {
      if (connection.isTransaction) connection.exec("ROLLBACK");
      for (const { reject } of calls) reject(this.#converted(error));
      return;
    }
    for (const settle of settled) settle();
    this.#scheduleCheckpoint();
  }

  /** Throws if SQLite has ended the whole transaction. */
  #runOne({ work, resolve, reject }: Call): () => void {
    const { connection } = this.#database;
    connection.exec("SAVEPOINT call");
    try {
      const result = work();
      connection.exec("RELEASE call");
      return () => resolve(result);
    } catch (error) {
      if (!connection.isTransaction) throw error;
      connection.exec("ROLLBACK TO call; RELEASE call");
      return () => reject(this.#converted(error));
    }
  }

  #converted(error: unknown): unknown {
    return isUnavailable(error) ? this.#unavailable(error) : error;
  }

  #scheduleCheckpoint(): void {
    this.#checkpoint ??= setTimeout(() => {
      this.#checkpoint = undefined;
      if (!this.#emptyLog()) this.#scheduleCheckpoint();
    }, CHECKPOINT_MS).unref();
  }

  #emptyLog(): boolean {
    try {
      return this.#database.checkpoint();
    } catch (error) {
      if (isUnavailable(error)) return false;
      throw error;
    }
  }
}
