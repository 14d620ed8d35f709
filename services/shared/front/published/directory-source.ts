import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import type { Issuer } from "../../org.ts";
import type { Directory } from "./directory.ts";
import { PolledDocument } from "./polled-document.ts";
import {
  type DirectoryKeys,
  type DirectoryRefusal,
  DirectoryRefused,
  type HeldDirectory,
  movedPairs,
  pairName,
  verifyDirectory,
} from "./verify-directory.ts";

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
  /** The control plane's URL of the directory. */
  url: string;
  /** The public keys that verify it, and the operators' statements in it. */
  keys: DirectoryKeys;
  /** Path of the copy of the last good directory, used until a newer one is fetched. */
  copy: string;
  logger: Logger;
}

/** The directory in use: first the copy on disk, then each newer one that the control plane publishes. */
export class DirectorySource extends PolledDocument {
  /** The directory in use; undefined until one is loaded. */
  current: LoadedDirectory | undefined;
  /** Why the newest published directory was refused; undefined if it was not. */
  refusal: DirectoryRefusal | undefined;

  readonly #keys: DirectoryKeys;
  readonly #logger: Logger;
  #held: HeldDirectory | undefined;

  constructor({ url, keys, copy, logger }: DirectoryOptions) {
    super({ what: "directory", url, copy, logger, verify: (jws, which) => this.#verify(jws, which) });
    this.#keys = keys;
    this.#logger = logger;
  }

  /** Fetches as {@link PolledDocument.confirm} does. Returns whether the directory in use is now the published one. */
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
          this.#logger.warn({ moved }, "members of a deleted organization now belong to another one");
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
