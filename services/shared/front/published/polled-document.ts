import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { coalesce } from "../../coalesce.ts";
import { readText, writeFileAtomic } from "../../files.ts";
import { readBounded } from "../../http/read-bounded.ts";

export interface PolledDocumentOptions {
  /** What it is, for the log: `directory`. */
  what: string;
  /** Where the control plane publishes it. */
  url: string;
  /** Path of the last good copy, which serves while nothing else can be had. */
  copy: string;
  logger: Logger;
  /** Gives what puts a text to use; undefined where it is refused, or is the one in use. `which`: its origin. */
  verify(text: string, which: string): Promise<(() => void) | undefined>;
}

const POLL_EVERY_MS = 1_000;
const FETCH_TIMEOUT_MS = 5_000;
/** However many callers ask, the control plane is asked on their account this often at most. */
const CONFIRM_EVERY_MS = 50;
/** A caller waits no longer for it, besides. */
const CONFIRM_WITHIN_MS = 2_000;
const MAX_BODY_BYTES = 16 * 1024 * 1024;

/** A document that the control plane publishes under an ETag: the copy on disk at first, then whatever is newer. */
export class PolledDocument {
  readonly #options: PolledDocumentOptions;
  #etag: string | undefined;
  #reachable = true;
  #timer: NodeJS.Timeout | undefined;
  #confirming: Promise<boolean> | undefined;
  #confirmedAt = Number.NEGATIVE_INFINITY;
  #closed = new AbortController();

  constructor(options: PolledDocumentOptions) {
    this.#options = options;
  }

  /** Takes the copy on disk, if there is a good one. */
  async loadCopy(): Promise<void> {
    const text = await readText(this.#options.copy);
    if (text !== undefined) (await this.#options.verify(text, "the copy on disk"))?.();
  }

  /**
   * Asks the control plane, in a request that begins after the call, and returns whether it answered; nothing that
   * goes wrong is thrown, all of it is logged once. One request at a time: calls that come while one lasts share
   * the next.
   */
  readonly refresh: () => Promise<boolean> = coalesce(() => this.#ask());

  /**
   * Asks the control plane for a caller who misses something in the document: it may have been published a moment
   * ago. Returns whether the control plane answered, within two seconds.
   */
  confirm(): Promise<boolean> {
    const wait = this.#confirmedAt + CONFIRM_EVERY_MS - performance.now();
    this.#confirming ??= sleep(Math.max(0, wait)).then(() => {
      this.#confirming = undefined;
      this.#confirmedAt = performance.now();
      const late = sleep(CONFIRM_WITHIN_MS, false, { ref: false });
      return Promise.race([this.refresh(), late]);
    });
    return this.#confirming;
  }

  async #ask(): Promise<boolean> {
    const { what, url, copy, logger, verify } = this.#options;
    let text: string | undefined;
    try {
      text = await this.#fetch(url);
      if (!this.#reachable) logger.info({ url }, `the ${what} can be fetched again`);
      this.#reachable = true;
    } catch (error) {
      if (this.#closed.signal.aborted) return false;
      if (this.#reachable) logger.warn({ url, reason: reasonOf(error) }, `the ${what} cannot be fetched`);
      this.#reachable = false;
      return false;
    }
    const use = text === undefined ? undefined : await verify(text, "the one published");
    if (text === undefined || !use) return true;
    try {
      // First, so that what was ever in force is still so after a restart.
      await writeFileAtomic(copy, text);
    } catch (error) {
      logger.error({ copy, reason: reasonOf(error) }, `the copy of the ${what} cannot be written`);
    }
    use();
    return true;
  }

  /** Asks the control plane every second from now on, until closed. */
  poll(): void {
    this.#timer = setTimeout(async () => {
      await this.refresh();
      if (!this.#closed.signal.aborted) this.poll();
    }, POLL_EVERY_MS);
  }

  close(): void {
    this.#closed.abort();
    clearTimeout(this.#timer);
  }

  /** The text published, or undefined where it is what was fetched last. */
  async #fetch(url: string): Promise<string | undefined> {
    const response = await fetch(url, {
      headers: this.#etag ? { "If-None-Match": this.#etag } : {},
      redirect: "error",
      signal: AbortSignal.any([this.#closed.signal, AbortSignal.timeout(FETCH_TIMEOUT_MS)]),
    });
    const text = await readBounded(response, MAX_BODY_BYTES);
    if (response.status === 304) return undefined;
    if (response.status !== 200) throw new Error(`status ${response.status}`);
    this.#etag = response.headers.get("etag") ?? undefined;
    return text;
  }
}

function reasonOf(error: unknown): string {
  const { name, message, code, cause } = error as NodeJS.ErrnoException & { cause?: { code?: string } };
  if (name === "TimeoutError") return name; // its code is 23
  return cause?.code ?? code ?? message;
}
