import { poll } from "../poll.ts";
import { ifFound, type VaultClient, VaultError } from "./client.ts";

/** Maximum number of attempts when other writers interfere. */
const CHANGE_TRIES = 20;

/** Runs a read-modify-write, and repeats it if it throws {@link CasConflictError} because another writer came first. */
export async function retryOnConflict<T>(change: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await change();
    } catch (error) {
      if (!(error instanceof CasConflictError) || tries === CHANGE_TRIES) throw error;
    }
  }
}

/** A value, and its version for a check-and-set write. */
export interface Versioned<T> {
  value: T;
  version: number;
}

/** The record's version is not the one that the write expected. */
export class CasConflictError extends Error {
  override name = "CasConflictError";

  constructor(path: string) {
    super(`${path}: changed by another writer meanwhile`);
  }
}

/** A KV version 2 mount. Paths are relative to the mount. */
export function kv2(client: VaultClient, mount: string) {
  return {
    /** The newest version; undefined if there is none, or it was deleted. */
    async read(path: string): Promise<{ data: Record<string, unknown>; version: number } | undefined> {
      const body = await ifFound(client.read(`${mount}/data/${path}`));
      if (!body) return undefined;
      const { data, metadata } = body.data as {
        data: Record<string, unknown>;
        metadata: { version: number };
      };
      return { data, version: metadata.version };
    },

    /**
     * Writes a new version and returns its number. With `cas` (0: must not exist), throws {@link CasConflictError}
     * unless that is the current version.
     */
    async write(
      path: string,
      data: Record<string, unknown>,
      cas?: number,
      headers?: Record<string, string>,
    ): Promise<number> {
      try {
        const options = cas === undefined ? {} : { options: { cas } };
        const body = await client.write(`${mount}/data/${path}`, { data, ...options }, headers);
        return (body.data as { version: number }).version;
      } catch (error) {
        if (error instanceof VaultError && error.status === 400 && /check-and-set/.test(error.message)) {
          throw new CasConflictError(`${mount}/${path}`);
        }
        throw error;
      }
    },

    /** Deletes every version and the metadata, so that the path can be written with `cas` 0 again. */
    destroy: (path: string): Promise<void> => client.delete(`${mount}/metadata/${path}`),

    /** The names in a folder, subfolders with a trailing slash; empty if the folder does not exist. */
    async list(path: string): Promise<string[]> {
      const body = await ifFound(client.list(`${mount}/metadata/${path}`));
      return body ? (body.data as { keys: string[] }).keys : [];
    },
  };
}

/** A KV version 1 mount: one value per path, without history. */
export function kv1(client: VaultClient, mount: string) {
  return {
    /** The value, or undefined if there is none. */
    async read(path: string): Promise<Record<string, unknown> | undefined> {
      const body = await ifFound(client.read(`${mount}/${path}`));
      return body?.data as Record<string, unknown> | undefined;
    },

    async write(path: string, data: Record<string, unknown>): Promise<void> {
      await client.write(`${mount}/${path}`, data);
    },

    delete: (path: string): Promise<void> => client.delete(`${mount}/${path}`),
  };
}

const UPGRADE_MS = 10_000;

/**
 * Waits until a new version 2 mount accepts requests: for a moment after it is enabled, it refuses them with 400. A 403
 * or 404 shows that it is ready.
 */
export async function whenUpgraded(client: VaultClient, mount: string): Promise<void> {
  let refusal: VaultError | undefined;
  const isUpgraded = async () => {
    try {
      await client.list(`${mount}/metadata`);
      return true;
    } catch (error) {
      if (!(error instanceof VaultError)) throw error;
      if (error.status === 403 || error.status === 404) return true;
      if (error.status !== 400) throw error;
      refusal = error;
      return undefined;
    }
  };
  if (!(await poll(isUpgraded, { everyMs: 25, withinMs: UPGRADE_MS }))) throw refusal;
}
