import { StrongroomError } from "../../shared/errors.ts";
import type { Material } from "../../shared/work/messages.ts";
import { type KeysOf, type SealingKeyRecord, sealingKeyKey } from "../sealing-keys/records.ts";
import type { Store } from "../store/store.ts";
import {
  type BrokerRecord,
  type CredentialRecord,
  credentialKey,
  materialKey,
  type StoredMaterial,
} from "./records.ts";

const MOST_TRIES = 5;

/** A credential with its sealed value, both of one version. */
export interface UsableCredential<R extends CredentialRecord = CredentialRecord> {
  record: R;
  material: Material;
  /** Of the record and of the stored value, for conditional writes. */
  revision: number;
  materialRevision: number;
}

/** A credential with its sealed value; undefined if there is none, or if its sealing key is gone. */
export async function loadUsable(
  store: Store,
  org: string,
  name: string,
): Promise<UsableCredential | undefined> {
  // Again if a version was stored between the two reads.
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const [record, stored] = await Promise.all([
      store.get<CredentialRecord>(credentialKey(org, name)),
      store.get<StoredMaterial>(materialKey(org, name)),
    ]);
    if (!record || !stored) return undefined;
    if (record.body.version !== stored.body.version) continue;
    const of = { org, purpose: record.body.purpose };
    const material = await withPrivateKey(store, of, stored.body.material);
    // Its sealing key is gone: it may have been sealed anew.
    if (!material) continue;
    return { record: record.body, material, revision: record.revision, materialRevision: stored.revision };
  }
  return undefined;
}

/** What a worker can open of a stored value; undefined if its sealing key is gone. */
export async function withPrivateKey(
  store: Store,
  of: KeysOf,
  material: StoredMaterial["material"],
): Promise<Material | undefined> {
  if ("envelope" in material) return material;
  const key = await store.get<SealingKeyRecord>(sealingKeyKey(of, material.sealed.key));
  return key && { sealed: material.sealed, privateKey: key.body.privateKey };
}

/** A credential of the broker. Throws `not_found`, and `conflict` for one that jobs use. */
export async function brokerCredential(
  store: Store,
  org: string,
  name: string,
): Promise<UsableCredential<BrokerRecord>> {
  const usable = await loadUsable(store, org, name);
  if (!usable) throw new StrongroomError("not_found", "There is no such credential.");
  const { record } = usable;
  if (record.purpose === "broker") return { ...usable, record };
  const detail = `The broker uses no credential of purpose ${record.purpose}. Submit a job: POST /v1/jobs.`;
  throw new StrongroomError("conflict", detail);
}
