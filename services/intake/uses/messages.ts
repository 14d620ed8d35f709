import type { IntegrationMessage, Material } from "../../shared/work/messages.ts";
import {
  type CredentialRecord,
  credentialKey,
  materialKey,
  type StoredMaterial,
} from "../credentials/records.ts";
import type { JobRecord, UseWork } from "../jobs/records.ts";
import { type SealingKeyRecord, sealingKeyKey } from "../sealing-keys/records.ts";
import type { Store } from "../store/store.ts";

const MOST_TRIES = 5;

/** A credential with its sealed value, both of one version. */
export interface UsableCredential {
  record: CredentialRecord;
  material: Material;
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
    const material = await withPrivateKey(store, org, stored.body.material);
    // Its sealing key is gone: it may have been sealed anew.
    if (material) return { record: record.body, material };
  }
  return undefined;
}

async function withPrivateKey(
  store: Store,
  org: string,
  material: StoredMaterial["material"],
): Promise<Material | undefined> {
  if ("envelope" in material) return material;
  const key = await store.get<SealingKeyRecord>(sealingKeyKey(org, material.sealed.key));
  return key && { sealed: material.sealed, privateKey: key.body.privateKey };
}

/** The message of a use. */
export function useMessage(
  { id, org, attempt, notAfter, work }: JobRecord<UseWork>,
  { record, material }: UsableCredential,
  request: string,
): string {
  const message: IntegrationMessage = {
    ...{ type: "request", job: id, org, attempt, notAfter, material, request },
    ...{ credential: record.name, version: record.version, policy: record.destination },
    ...(work.sealResultTo !== undefined && { sealResultTo: work.sealResultTo }),
  };
  return JSON.stringify(message);
}
