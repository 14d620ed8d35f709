import type { Logger } from "pino";
import { readText, writeFileAtomic } from "../files.ts";
import { readBounded } from "./read-bounded.ts";

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
const MAX_BODY_BYTES = 16 * 1024 * 1024;

/** A document that the control plane publishes under an ETag: the copy on disk at first, then whatever is newer. */
export class PolledDocument {
  readonly #options: PolledDocumentOptions;
  #etag: string | undefined;
  #reachable = true;
  #timer: NodeJS.Timeout | undefined;
  #closed = new AbortController();

  constructor(options: PolledDocumentOptions) {
    this.#options = options;
  }

  /** Takes the copy on disk, if there is a good one. */
  async loadCopy(): Promise<void> {
    const text = await readText(this.#options.copy);
    if (text !== undefined) (await this.#options.verify(text, "the copy on disk"))?.();
  }

  /** Asks the control plane once; nothing that goes wrong is thrown, all of it is logged once. */
  async refresh(): Promise<void> {
    const { what, url, copy, logger, verify } = this.#options;
    let text: string | undefined;
    try {
      text = await this.#fetch(url);
      if (!this.#reachable) logger.info({ url }, `the ${what} can be fetched again`);
      this.#reachable = true;
    } catch (error) {
      if (this.#closed.signal.aborted) return;
      if (this.#reachable) logger.warn({ url, reason: reasonOf(error) }, `the ${what} cannot be fetched`);
      this.#reachable = false;
      return;
    }
    const use = text === undefined ? undefined : await verify(text, "the one published");
    if (text === undefined || !use) return;
    try {
      // First, so that what was ever in force is still so after a restart.
      await writeFileAtomic(copy, text);
    } catch (error) {
      logger.error({ copy, reason: reasonOf(error) }, `the copy of the ${what} cannot be written`);
    }
    use();
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
