import type { KeyObject } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import { readText, writeFileAtomic } from "../files.ts";
import { readBounded } from "../http/read-bounded.ts";
import type { Issuer } from "../org.ts";
import type { Directory } from "./directory.ts";
import {
  type DirectoryRefusal,
  DirectoryRefused,
  type HeldDirectory,
  pairName,
  verifyDirectory,
} from "./verify.ts";

export type DirectoryOrg = Directory["orgs"][number];

/** A directory to look things up in. */
export interface LoadedDirectory {
  version: number;
  /** The same array from version to version, as long as nothing in it changes. */
  issuers: readonly Issuer[];
  orgs: readonly DirectoryOrg[];
  /** The organization that a verified pair belongs to. */
  find(issuer: string, claim: string): DirectoryOrg | undefined;
}

export interface DirectoryOptions {
  /** Where the control plane publishes it. */
  url: string;
  /** The key that signs it. */
  key: KeyObject;
  /** Path of the last good copy, which serves while nothing else can be had. */
  copy: string;
  logger: Logger;
}

const POLL_EVERY_MS = 1_000;
const FETCH_TIMEOUT_MS = 5_000;
const MAX_BODY_BYTES = 16 * 1024 * 1024;

/** The directory in use: the copy on disk at first, then whatever newer one the control plane publishes. */
export class DirectorySource {
  /** What is in use; undefined until there is any. */
  current: LoadedDirectory | undefined;
  /** Why the newest one published is not in use; undefined where it is. */
  refusal: DirectoryRefusal | undefined;

  readonly #options: DirectoryOptions;
  #held: HeldDirectory | undefined;
  #etag: string | undefined;
  #reachable = true;
  #timer: NodeJS.Timeout | undefined;
  #closed = new AbortController();

  constructor(options: DirectoryOptions) {
    this.#options = options;
  }

  /** Takes the copy on disk, if there is a good one. */
  async loadCopy(): Promise<void> {
    const jws = await readText(this.#options.copy);
    if (jws === undefined) return;
    await this.#take(jws, "the copy on disk");
  }

  /** Asks the control plane once; nothing that goes wrong is thrown, all of it is logged once. */
  async refresh(): Promise<void> {
    const { url, copy, logger } = this.#options;
    let jws: string | undefined;
    try {
      jws = await this.#fetch(url);
      if (!this.#reachable) logger.info({ url }, "the directory can be fetched again");
      this.#reachable = true;
    } catch (error) {
      if (this.#closed.signal.aborted) return;
      if (this.#reachable) logger.warn({ url, reason: reasonOf(error) }, "the directory cannot be fetched");
      this.#reachable = false;
      return;
    }
    if (jws === undefined || !(await this.#take(jws, "the one published"))) return;
    try {
      await writeFileAtomic(copy, jws);
    } catch (error) {
      logger.error({ copy, reason: reasonOf(error) }, "the copy of the directory cannot be written");
    }
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

  /** Puts a directory to use; false where it is refused, or is the one in use. */
  async #take(jws: string, which: string): Promise<boolean> {
    const { key, logger } = this.#options;
    try {
      const held = await verifyDirectory(jws, key, this.#held);
      const changed = held.directory.version !== this.#held?.directory.version;
      this.#held = held;
      this.refusal = undefined;
      if (changed) this.current = loaded(held.directory, this.current);
      if (changed) logger.info({ version: held.directory.version }, `the directory in use is ${which}`);
      return changed;
    } catch (error) {
      if (!(error instanceof DirectoryRefused)) throw error;
      if (this.refusal !== error.reason) {
        logger.error(
          { reason: error.reason, detail: error.message, inUse: this.current?.version },
          `${which} is refused`,
        );
      }
      this.refusal = error.reason;
      return false;
    }
  }
}

function loaded(directory: Directory, before: LoadedDirectory | undefined): LoadedDirectory {
  const { version, orgs } = directory;
  const same = isDeepStrictEqual(directory.issuers, before?.issuers);
  const byPair = new Map(orgs.map((org) => [pairName(org.issuer, org.claim), org]));
  return {
    version,
    issuers: same && before ? before.issuers : directory.issuers,
    orgs,
    find: (issuer, claim) => byPair.get(pairName(issuer, claim)),
  };
}

function reasonOf(error: unknown): string {
  const { name, message, code, cause } = error as NodeJS.ErrnoException & { cause?: { code?: string } };
  return cause?.code ?? code ?? (name === "TimeoutError" ? name : message);
}
