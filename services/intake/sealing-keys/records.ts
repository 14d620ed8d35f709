import type { Key, Store } from "../store/store.ts";

/** A sealing key that a worker has made. */
export interface SealingKeyRecord {
  id: string;
  /** An uncompressed P-256 point, base64url. */
  publicKey: string;
  /** The private half, sealed by the worker with its own key; base64. */
  privateKey: string;
  createdAt: string;
}

export const sealingKeysPartition = (org: string): string => `org/${org}/sealing-keys`;
export const sealingKeyKey = (org: string, id: string): Key => ({
  partition: sealingKeysPartition(org),
  sort: id,
});

/** Which of an organization's sealing keys is current, and which is being made. */
export interface SealingState {
  current?: string;
  /** `until`: seconds since 1970, after which another may be made. */
  making?: { key: string; job: string; until: number };
}

export const sealingStateKey = (org: string): Key => ({ partition: `org/${org}/state`, sort: "sealing" });

/** The id of the current sealing key; undefined if none has been made. */
export async function currentSealingKey(store: Store, org: string): Promise<string | undefined> {
  return (await store.get<SealingState>(sealingStateKey(org)))?.body.current;
}
