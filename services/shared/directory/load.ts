import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import { PolledDocument } from "../http/polled-document.ts";
import type { Issuer } from "../org.ts";
import type { Directory } from "./directory.ts";
import {
  type DirectoryKeys,
  type DirectoryRefusal,
  DirectoryRefused,
  type HeldDirectory,
  movedPairs,
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
  /** The organization with this id. */
  byId(id: string): DirectoryOrg | undefined;
}

export interface DirectoryOptions {
  /** Where the control plane publishes it. */
  url: string;
  /** The keys that sign it, and what it has of operators. */
  keys: DirectoryKeys;
  /** Path of the last good copy, which serves while nothing else can be had. */
  copy: string;
  logger: Logger;
}

/** The directory in use: the copy on disk at first, then whatever newer one the control plane publishes. */
export class DirectorySource extends PolledDocument {
  /** What is in use; undefined until there is any. */
  current: LoadedDirectory | undefined;
  /** Why the newest one published is not in use; undefined where it is. */
  refusal: DirectoryRefusal | undefined;

  readonly #keys: DirectoryKeys;
  readonly #logger: Logger;
  #held: HeldDirectory | undefined;

  constructor({ url, keys, copy, logger }: DirectoryOptions) {
    super({ what: "directory", url, copy, logger, verify: (jws, which) => this.#verify(jws, which) });
    this.#keys = keys;
    this.#logger = logger;
  }

  /** Whether what is in use, once this returns, is what is published now. Asks as {@link PolledDocument.confirm}. */
  override async confirm(): Promise<boolean> {
    return (await super.confirm()) && this.refusal === undefined;
  }

  async #verify(jws: string, which: string): Promise<(() => void) | undefined> {
    try {
      const held = await verifyDirectory(jws, this.#keys, this.#held);
      const moved = movedPairs(held, this.#held);
      if (held.directory.version === this.#held?.directory.version) {
        this.refusal = undefined;
        return undefined;
      }
      return () => {
        this.refusal = undefined;
        this.#held = held;
        this.current = loaded(held.directory, this.current);
        if (moved.length > 0)
          this.#logger.warn({ moved }, "people of a deleted organization belong to another from now on");
        this.#logger.info({ version: held.directory.version }, `the directory in use is ${which}`);
      };
    } catch (error) {
      if (!(error instanceof DirectoryRefused)) throw error;
      if (this.refusal !== error.reason) {
        this.#logger.error(
          { reason: error.reason, detail: error.message, inUse: this.current?.version },
          `${which} is refused`,
        );
      }
      this.refusal = error.reason;
      return undefined;
    }
  }
}

function loaded(directory: Directory, before: LoadedDirectory | undefined): LoadedDirectory {
  const { version, orgs } = directory;
  const same = isDeepStrictEqual(directory.issuers, before?.issuers);
  const byPair = new Map(orgs.map((org) => [pairName(org.issuer, org.claim), org]));
  const byId = new Map(orgs.map((org) => [org.id, org]));
  return {
    version,
    issuers: same && before ? before.issuers : directory.issuers,
    orgs,
    find: (issuer, claim) => byPair.get(pairName(issuer, claim)),
    byId: (id) => byId.get(id),
  };
}
