import type { Key, Store, Write } from "../store/store.ts";

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

/** An older key is kept while a credential is sealed to it. */
export const MOST_KEYS = 100;

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

/**
 * The write that keeps a sealing key while a value that is sealed to it is stored, to be part of the same write: it
 * fails if the key was dropped, and whoever would drop it then sees another revision.
 */
export async function keepKeyWrite(store: Store, org: string, id: string): Promise<Write> {
  const key = sealingKeyKey(org, id);
  const found = await store.get<SealingKeyRecord>(key);
  // Of a key that is gone no write makes another one.
  return found ? { ...key, body: found.body, expect: found.revision } : { ...key, remove: true, expect: 1 };
}
