import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Logger } from "pino";
import type { Directory } from "../../services/shared/front/published/directory.ts";
import { DirectorySource } from "../../services/shared/front/published/directory-source.ts";
import { RevocationSource } from "../../services/shared/front/published/revocation-source.ts";
import type { RevocationList } from "../../services/shared/front/published/revocations.ts";
import {
  type DirectoryKey,
  type DirectoryServer,
  newDirectoryKey,
  startDirectoryServer,
} from "./directory.ts";
import type { TestIssuer } from "./tokens.ts";

/** An organization as a directory lists it; of the first issuer unless it names one. */
export interface OrgEntry {
  id: string;
  claim: string;
  address: string;
  serverKey?: string;
  statement?: string;
  issuer?: string;
  machineTokens?: true;
}

/** What a service that faces callers has of a control plane, and means to change it. */
export interface Published {
  directory: DirectorySource;
  revocations: RevocationSource;
  directoryServer: DirectoryServer;
  /** Publishes these organizations as the next version, and has the service fetch it. */
  publish(orgs: OrgEntry[], changes?: Partial<Directory>): Promise<void>;
  /** Publishes these revocations as the next version, and has the service fetch it. */
  revoke(orgs: RevocationList["orgs"]): Promise<void>;
  /** Stops publishing, and removes what the service has kept. */
  close(): Promise<void>;
}

export interface PublishedOptions {
  issuers: TestIssuer[];
  logger: Logger;
  now: () => number;
  /** What signs the directory; a key made for it unless given. */
  directoryKey?: Pick<DirectoryKey, "keys" | "sign" | "signRevocations"> | undefined;
}

/** Publishes a first list of revocations, without any; of organizations nothing until `publish` is called. */
export async function startPublished(options: PublishedOptions): Promise<Published> {
  const { issuers, logger, now, directoryKey: key = newDirectoryKey() } = options;
  const dir = await mkdtemp(join(tmpdir(), "strongroom-published-"));
  const directoryServer = await startDirectoryServer(key);
  const copy = join(dir, "directory.jws");
  const directory = new DirectorySource({ url: directoryServer.url, keys: key.keys, copy, logger });
  const revocations = new RevocationSource({
    ...{ url: directoryServer.revocationsUrl, key: key.keys.directory, logger, now },
    copy: join(dir, "revocations.jws"),
    maxTokenLifetimeSeconds: 3600,
  });
  await revocations.refresh();
  let version = 0;
  let revocationsVersion = 1;
  return {
    directory,
    revocations,
    directoryServer,
    async publish(orgs, changes = {}) {
      await directoryServer.publish({
        version: ++version,
        issuedAt: new Date().toISOString(),
        issuers: issuers.map(({ issuer }) => issuer),
        orgs: orgs.map((org) => ({ issuer: issuers[0]?.issuer.issuer ?? "", ...org })),
        deleted: [],
        ...changes,
      });
      await directory.refresh();
    },
    async revoke(orgs) {
      const version = ++revocationsVersion;
      await directoryServer.publishRevocations({ version, maxTokenLifetimeSeconds: 3600, orgs });
      await revocations.refresh();
    },
    async close() {
      directory.close();
      revocations.close();
      await directoryServer.close();
      await rm(dir, { recursive: true });
    },
  };
}
