import { type FSWatcher, watch } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Waits for changes in a folder: told by the system where it can, and looking again at an interval in any
 * case, since not every file system tells.
 */
export class FolderWatch {
  readonly #pollMs: number;
  readonly #watcher: FSWatcher | undefined;
  #change = new AbortController();

  constructor(folder: string, pollMs: number) {
    this.#pollMs = pollMs;
    try {
      this.#watcher = watch(folder, { persistent: false }, () => this.#change.abort());
      this.#watcher.on("error", () => this.#watcher?.close());
    } catch {
      this.#watcher = undefined;
    }
  }

  /** Resolves at the next change (or at once, at one since the last call), at the latest after the interval. */
  async next(): Promise<void> {
    await sleep(this.#pollMs, undefined, { signal: this.#change.signal }).catch(() => {});
    this.#change = new AbortController();
  }

  /** Ends a wait. */
  wake(): void {
    this.#change.abort();
  }

  close(): void {
    this.#watcher?.close();
    this.#change.abort();
  }
}
