import { MOST } from "../counts.ts";
import { materialsPartition, type StoredMaterial } from "../credentials/records.ts";
import type { Store } from "../store/store.ts";
import {
  currentSealingKey,
  type KeysOf,
  MOST_KEYS,
  type SealingKeyRecord,
  sealingKeysPartition,
} from "./records.ts";

const READ_AT_ONCE = 50;

/**
 * Deletes an organization's older sealing keys of a purpose to which no credential is sealed any more, with their private halves. A
 * key to which one is being stored at the same time stays.
 */
export async function dropUnusedKeys(store: Store, of: KeysOf): Promise<void> {
  // Read before the credentials: one stored since then changes its key's revision.
  const keys = await store.query<SealingKeyRecord>(sealingKeysPartition(of), { limit: MOST_KEYS });
  const current = await currentSealingKey(store, of);
  const old = keys.filter(({ sort }) => sort !== current);
  if (old.length === 0) return;
  const used = await usedKeys(store, of.org);
  for (const { partition, sort, revision } of old) {
    if (!used.has(sort)) await store.write([{ partition, sort, remove: true, expect: revision }]);
  }
}

/** The sealing keys that stored credentials of any purpose need. */
async function usedKeys(store: Store, org: string): Promise<Set<string>> {
  const used = new Set<string>();
  let after: string | undefined;
  for (let read = 0; read <= MOST.credentials; read += READ_AT_ONCE) {
    const found = await store.query<StoredMaterial>(materialsPartition(org), {
      ...(after !== undefined && { after }),
      limit: READ_AT_ONCE,
    });
    for (const { sort, body } of found) {
      if ("sealed" in body.material) used.add(body.material.sealed.key);
      after = sort;
    }
    if (found.length < READ_AT_ONCE) return used;
  }
  throw new Error("there are more credentials than there may be");
}
