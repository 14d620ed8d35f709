import { closeSync, type FSWatcher, openSync, utimesSync, watch } from "node:fs";

/**
 * Tells processes that share a queue of a new message: the sender touches a file beside it, of which the system
 * notifies those who wait. A wait ends at its timeout too, because not every file system sends notifications.
 */
export class Wake {
  readonly #descriptor: number;
  readonly #file: string;
  #watcher: FSWatcher | undefined;
  #isWoken = false;
  /** Whether the system notifies this process. */
  isListening = false;
  #resume: (() => void) | undefined;

  constructor(file: string) {
    this.#file = file;
    this.#descriptor = openSync(file, "a", 0o600);
  }

  /** Notifies all processes that listen, this one too. */
  notify(): void {
    const now = new Date();
    // By its path: Node's permission model refuses to change the times of a descriptor.
    utimesSync(this.#file, now, now);
  }

  /** Begins to receive notifications. */
  listen(): void {
    try {
      this.#watcher = watch(this.#file, { persistent: false }, () => this.wake());
      this.#watcher.on("error", () => this.#ignore());
      this.isListening = true;
    } catch {
      this.#ignore();
    }
  }

  #ignore(): void {
    this.isListening = false;
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  /** Ends the wait of this process, or its next one. */
  wake(): void {
    this.#isWoken = true;
    this.#resume?.();
  }

  /** Resolves on a notification, at once if there was one since the last wait, or after the timeout. */
  async wait(timeoutMs: number): Promise<void> {
    if (!this.#isWoken) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#resume = resolve;
        timer = setTimeout(resolve, timeoutMs);
      });
      clearTimeout(timer);
      this.#resume = undefined;
    }
    this.#isWoken = false;
  }

  close(): void {
    this.#ignore();
    closeSync(this.#descriptor);
    this.wake();
  }
}
