import type { Credential, PutCredential } from "../../shared/api/credentials.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { policyHash } from "../../shared/work/destination.ts";
import { countWrite } from "../counts.ts";
import type { Intake } from "../dependencies.ts";
import { type Conditions, checkConditions } from "../http/conditions.ts";
import { retryConflicts } from "../retry-conflicts.ts";
import { keepKeyWrite } from "../sealing-keys/records.ts";
import type { Item, Write } from "../store/store.ts";
import { checkDestination } from "./check-destination.ts";
import { protect } from "./protect.ts";
import {
  type CredentialRecord,
  credentialKey,
  type DeletedCredential,
  deletedKey,
  lastUsedPartition,
  materialKey,
  type StoredMaterial,
} from "./records.ts";

const PURPOSE = "integration";
const VERSIONS_LISTED = 20;
/** Longer than any backup of the store is kept. */
const REMEMBER_DELETED_SECONDS = 400 * 24 * 3600;

/** A credential's record. Throws `not_found`, also for another organization's. */
export async function readCredential(
  { store }: Pick<Intake, "store">,
  org: string,
  name: string,
): Promise<Item<CredentialRecord>> {
  const found = await store.get<CredentialRecord>(credentialKey(org, name));
  if (!found) throw new StrongroomError("not_found", "There is no such credential.");
  return found;
}

/**
 * Stores a new version of a credential: its record and its sealed value in one conditional write. The value of the
 * version before is deleted: only the newest opens.
 */
export async function putCredential(
  intake: Intake,
  org: string,
  name: string,
  body: PutCredential,
  conditions: Conditions,
): Promise<{ credential: CredentialRecord; isNew: boolean }> {
  const { store, now } = intake;
  checkDestination(body.destination, intake.destinationPorts);
  return retryConflicts(async () => {
    const [found, deleted] = await Promise.all([
      store.get<CredentialRecord>(credentialKey(org, name)),
      store.get<DeletedCredential>(deletedKey(org, name)),
    ]);
    checkConditions(conditions, found?.body.version);
    const version = Math.max(found?.body.version ?? 0, deleted?.body.version ?? 0) + 1;
    const policy = policyHash(body.destination);
    const context = { org, credential: name, version: String(version), purpose: PURPOSE, policy } as const;
    const material = await protect(intake, context, body);
    const at = new Date(now()).toISOString();
    const sealedBy = "value" in body ? ("platform" as const) : ("client" as const);
    const credential: CredentialRecord = {
      ...{ name, version, purpose: PURPOSE, destination: body.destination },
      versions: [{ version, createdAt: at, sealedBy }, ...(found?.body.versions ?? [])].slice(
        0,
        VERSIONS_LISTED,
      ),
      level: body.level ?? "writer",
      disabled: found?.body.disabled ?? false,
      createdAt: found?.body.createdAt ?? at,
      updatedAt: at,
    };
    const stored: StoredMaterial = { version, material };
    const isWritten = await store.write([
      { ...credentialKey(org, name), body: credential, expect: found?.revision ?? 0 },
      { ...materialKey(org, name), body: stored },
      ...("sealed" in material ? [await keepKeyWrite(store, org, material.sealed.key)] : []),
      ...(found ? [] : [await countWrite(store, org, "credentials", 1)]),
    ]);
    return isWritten ? { credential, isNew: !found } : undefined;
  });
}

/** Disables or enables a credential. A disabled one is kept and not used. */
export async function setDisabled(
  intake: Intake,
  org: string,
  name: string,
  disabled: boolean,
): Promise<CredentialRecord> {
  return retryConflicts(async () => {
    const found = await readCredential(intake, org, name);
    if (found.body.disabled === disabled) return found.body;
    const credential = { ...found.body, disabled, updatedAt: new Date(intake.now()).toISOString() };
    const isWritten = await intake.store.write([
      { ...credentialKey(org, name), body: credential, expect: found.revision },
    ]);
    return isWritten ? credential : undefined;
  });
}

/** Deletes a credential with its sealed value, and with that the only copy of the encrypted data key. */
export async function deleteCredential(
  intake: Intake,
  org: string,
  name: string,
  conditions: Conditions,
): Promise<void> {
  const { store, now } = intake;
  await retryConflicts(async () => {
    const found = await readCredential(intake, org, name);
    const { version } = found.body;
    checkConditions(conditions, version);
    const deleted: DeletedCredential = { version, deletedAt: new Date(now()).toISOString() };
    const writes: Write[] = [
      { ...credentialKey(org, name), remove: true, expect: found.revision },
      { ...materialKey(org, name), remove: true },
      { partition: lastUsedPartition(org), sort: name, remove: true },
      {
        ...deletedKey(org, name),
        body: deleted,
        expiresAt: Math.floor(now() / 1000) + REMEMBER_DELETED_SECONDS,
      },
      await countWrite(store, org, "credentials", -1),
    ];
    return (await store.write(writes)) || undefined;
  });
}

/** A record as the API shows it. */
export const asCredential = (record: CredentialRecord, lastUsedAt?: string): Credential => ({
  ...record,
  ...(lastUsedAt !== undefined && { lastUsedAt }),
});
