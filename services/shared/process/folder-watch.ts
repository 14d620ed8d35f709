import { type FSWatcher, watch } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Waits for changes in a folder, by notifications of the system and also at an interval, because not every file
 * system sends notifications.
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

  /** Resolves on the next change, at once if there was one since the last call, and at the latest after the interval. */
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
