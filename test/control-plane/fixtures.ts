import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import type { JobRecord } from "../../services/control-plane/registry/records.ts";
import {
  createRegistry,
  type RecordStore,
  type Registry,
} from "../../services/control-plane/registry/registry.ts";
import { CasConflictError } from "../../services/shared/vault/kv.ts";

export const silent = pino({ level: "silent" });

/** A store in memory with KV version 2's check-and-set, and every write it has taken. */
export function memoryStore(): RecordStore & {
  writes: { path: string; data: unknown }[];
  failNext(error: Error): void;
} {
  const records = new Map<string, { data: Record<string, unknown>; version: number }>();
  const writes: { path: string; data: unknown }[] = [];
  const failures: Error[] = [];
  return {
    writes,
    failNext: (error) => void failures.push(error),
    async read(path) {
      await sleep(0);
      return structuredClone(records.get(path));
    },
    async write(path, data, cas) {
      await sleep(0);
      const failure = failures.shift();
      if (failure) throw failure;
      const version = records.get(path)?.version ?? 0;
      if (cas !== undefined && cas !== version) throw new CasConflictError(path);
      const copy = structuredClone(data);
      records.set(path, { data: copy, version: version + 1 });
      writes.push({ path, data: copy });
      return version + 1;
    },
    async list(path) {
      return [...records.keys()]
        .filter((each) => each.startsWith(path))
        .map((each) => each.slice(path.length));
    },
    async destroy(path) {
      records.delete(path);
    },
  };
}

export const memoryRegistry = (store = memoryStore()): Registry => createRegistry(store);

export async function readJob(registry: Registry, id: string): Promise<JobRecord> {
  const found = await registry.jobs.read(id);
  if (!found) throw new Error(`${id}: no such job`);
  return found.value;
}
