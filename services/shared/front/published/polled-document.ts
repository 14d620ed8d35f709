import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { coalesce } from "../../coalesce.ts";
import { readText, writeFileAtomic } from "../../files.ts";
import { readBounded } from "../../http/read-bounded.ts";

export interface PolledDocumentOptions {
  /** The document's name in log lines, such as `directory`. */
  what: string;
  /** The control plane's URL of the document. */
  url: string;
  /** Path of the copy of the last good document, used until a newer one is fetched. */
  copy: string;
  logger: Logger;
  /** Returns a function that puts a text to use; undefined if it is refused or already in use. `which`: its origin. */
  verify(text: string, which: string): Promise<(() => void) | undefined>;
}

const POLL_EVERY_MS = 1_000;
const FETCH_TIMEOUT_MS = 5_000;
/** Callers' requests cause at most one fetch in this time. */
const CONFIRM_EVERY_MS = 50;
/** How long a caller waits for that fetch. */
const CONFIRM_WITHIN_MS = 2_000;
const MAX_BODY_BYTES = 16 * 1024 * 1024;

/** A document that the control plane publishes with an ETag: first the copy on disk, then each newer version. */
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

  /** Loads the copy on disk, if there is a valid one. */
  async loadCopy(): Promise<void> {
    const text = await readText(this.#options.copy);
    if (text !== undefined) (await this.#options.verify(text, "the copy on disk"))?.();
  }

  /**
   * Fetches the document, in a request that begins after the call, and returns whether the control plane answered.
   * Failures are logged once, and not thrown. One request at a time: calls during a request share the next one.
   */
  readonly refresh: () => Promise<boolean> = coalesce(() => this.#ask());

  /**
   * Fetches the document for a caller whose entry is missing, since it may have just been published. Returns whether
   * the control plane answered, after at most two seconds.
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
      if (!this.#reachable) logger.info({ url }, `fetching the ${what} works again`);
      this.#reachable = true;
    } catch (error) {
      if (this.#closed.signal.aborted) return false;
      if (this.#reachable) logger.warn({ url, reason: reasonOf(error) }, `cannot fetch the ${what}`);
      this.#reachable = false;
      return false;
    }
    const use = text === undefined ? undefined : await verify(text, "the one published");
    if (text === undefined || !use) return true;
    try {
      // Before it is used, so that a document that was ever in force still is after a restart.
      await writeFileAtomic(copy, text);
    } catch (error) {
      logger.error({ copy, reason: reasonOf(error) }, `cannot write the copy of the ${what}`);
    }
    use();
    return true;
  }

  /** Fetches the document every second, until closed. */
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

  /** The published text, or undefined if it has not changed since the last fetch. */
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
