import { mkdir } from "node:fs/promises";
import { userInfo } from "node:os";
import { isAbsolute, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import type { Progress } from "../progress.ts";

/** The folder that all checkouts of one user share: under `$XDG_CACHE_HOME`, or `~/.cache`. */
export function cacheFolder(env: Record<string, string | undefined>): string {
  const { XDG_CACHE_HOME: cache, HOME: home } = env;
  if (cache && isAbsolute(cache)) return join(cache, "strongroom");
  return join(home && isAbsolute(home) ? home : userInfo().homedir, ".cache", "strongroom");
}

const POLL_MS = 250;
/** Longer than the timeouts of one download and one build together. */
const PATIENCE_MS = 90 * 60_000;

/**
 * Runs `work` under an exclusive lock of the folder; waits for its turn, with progress. It is SQLite's lock, so
 * the operating system releases it when the process ends: there is no stale lock to detect and no PID that
 * another process may have reused.
 */
export async function withCacheLock<T>(
  folder: string,
  { progress, signal }: { progress: Progress; signal?: AbortSignal | undefined },
  work: () => Promise<T>,
): Promise<T> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const lock = new DatabaseSync(join(folder, "lock"));
  try {
    if (!tryLock(lock)) {
      const step = progress.step("Waiting for another process that is downloading or building Vault");
      const patience = AbortSignal.timeout(PATIENCE_MS);
      try {
        do {
          patience.throwIfAborted();
          await sleep(POLL_MS, undefined, signal ? { signal } : {});
        } while (!tryLock(lock));
      } catch (error) {
        step.fail();
        signal?.throwIfAborted();
        throw error;
      }
      step.done();
    }
    return await work();
  } finally {
    lock.close();
  }
}

const SQLITE_BUSY = 5;

function tryLock(lock: DatabaseSync): boolean {
  try {
    // Nothing is ever written, so no journal file is needed.
    lock.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    return true;
  } catch (error) {
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return false;
    throw error;
  }
}
