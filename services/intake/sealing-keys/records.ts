import type { SealedPurpose } from "../../shared/api/credentials.ts";
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

/** Whose keys, and for which purpose: each has keys of its own. */
export interface KeysOf {
  org: string;
  purpose: SealedPurpose;
}

/** Of the first purpose without its name, since its keys are older than the other. */
const named = (text: string, purpose: SealedPurpose, separator: string): string =>
  purpose === "integration" ? text : `${text}${separator}${purpose}`;

export const sealingKeysPartition = ({ org, purpose }: KeysOf): string =>
  named(`org/${org}/sealing-keys`, purpose, "/");
export const sealingKeyKey = (of: KeysOf, id: string): Key => ({
  partition: sealingKeysPartition(of),
  sort: id,
});

/** As many for each purpose. An older key is kept while a credential is sealed to it. */
export const MOST_KEYS = 100;

/** Which of an organization's sealing keys for a purpose is current, and which is being made. */
export interface SealingState {
  current?: string;
  /** `until`: seconds since 1970, after which another may be made. */
  making?: { key: string; job: string; until: number };
}

export const sealingStateKey = ({ org, purpose }: KeysOf): Key => ({
  partition: `org/${org}/state`,
  sort: named("sealing", purpose, "-"),
});

/** The id of the current sealing key; undefined if none has been made. */
export async function currentSealingKey(store: Store, of: KeysOf): Promise<string | undefined> {
  return (await store.get<SealingState>(sealingStateKey(of)))?.body.current;
}

/**
 * The write that keeps a sealing key while a value that is sealed to it is stored, to be part of the same write: it
 * fails if the key was dropped, and whoever would drop it then sees another revision.
 */
export async function keepKeyWrite(store: Store, of: KeysOf, id: string): Promise<Write> {
  const key = sealingKeyKey(of, id);
  const found = await store.get<SealingKeyRecord>(key);
  // Of a key that is gone no write makes another one.
  return found ? { ...key, body: found.body, expect: found.revision } : { ...key, remove: true, expect: 1 };
}
