import type { Credential, PutCredential } from "../../shared/api/credentials.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { countWrite } from "../counts.ts";
import type { Intake } from "../dependencies.ts";
import { type Conditions, checkConditions } from "../http/conditions.ts";
import { retryConflicts } from "../retry-conflicts.ts";
import {
  type RotationRecord,
  removeRotationWrites,
  rotationKey,
  unrotatedWrites,
} from "../rotations/records.ts";
import { keepKeyWrite } from "../sealing-keys/records.ts";
import type { Item, Write } from "../store/store.ts";
import { removeGrantState } from "../tokens/grant-state.ts";
import { checkBrokerPolicy } from "./check-broker-policy.ts";
import { checkDestination } from "./check-destination.ts";
import { protect } from "./protect.ts";
import {
  type BrokerRecord,
  type CredentialRecord,
  credentialKey,
  type DeletedCredential,
  deletedKey,
  type IntegrationRecord,
  isConnections,
  lastUsedPartition,
  materialKey,
  policyHashOf,
  type StoredMaterial,
  withVersion,
} from "./records.ts";

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
  const given = givenBy(intake, body);
  return retryConflicts(async () => {
    const unrotated = await unrotatedWrites(store, org, name);
    const [found, deleted] = await Promise.all([
      store.get<CredentialRecord>(credentialKey(org, name)),
      store.get<DeletedCredential>(deletedKey(org, name)),
    ]);
    checkConditions(conditions, found?.body.version);
    if (found && found.body.purpose !== given.purpose) {
      const detail = `The credential is one of purpose ${found.body.purpose}. Delete it first, or choose another name.`;
      throw new StrongroomError("conflict", detail);
    }
    if (isConnections(found?.body)) throw madeByConnection();
    const version = Math.max(found?.body.version ?? 0, deleted?.body.version ?? 0) + 1;
    const { purpose } = given;
    const context = { org, credential: name, version: String(version), purpose, policy: policyHashOf(given) };
    const material = await protect(intake, context, body);
    const at = new Date(now()).toISOString();
    const sealedBy = "value" in body ? ("platform" as const) : ("client" as const);
    const credential: CredentialRecord = {
      ...{ name, version, ...given },
      versions: withVersion({ version, createdAt: at, sealedBy }, found?.body.versions),
      disabled: found?.body.disabled ?? false,
      createdAt: found?.body.createdAt ?? at,
      updatedAt: at,
    };
    const stored: StoredMaterial = { version, material };
    const isWritten = await store.write([
      { ...credentialKey(org, name), body: credential, expect: found?.revision ?? 0 },
      { ...materialKey(org, name), body: stored },
      ...("sealed" in material ? [await keepKeyWrite(store, context, material.sealed.key)] : []),
      ...(found ? [] : [await countWrite(store, org, "credentials", 1)]),
      ...unrotated,
    ]);
    return isWritten ? { credential, isNew: !found } : undefined;
  });
}

/** What a credential is put with, checked; its value apart. Throws `invalid_destination`. */
function givenBy(
  { destinationPorts: ports }: Pick<Intake, "destinationPorts">,
  body: PutCredential,
):
  | Pick<BrokerRecord, "purpose" | "destination">
  | Pick<IntegrationRecord, "purpose" | "destination" | "level"> {
  if (body.purpose === "broker") {
    checkBrokerPolicy(body.destination, ports);
    return { purpose: "broker", destination: body.destination };
  }
  checkDestination(body.destination, ports);
  return { purpose: "integration", destination: body.destination, level: body.level ?? "writer" };
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
  const { store } = intake;
  await retryConflicts(async () => {
    await unrotatedWrites(store, org, name);
    const found = await readCredential(intake, org, name);
    checkConditions(conditions, found.body.version);
    if (isConnections(found.body)) throw madeByConnection();
    return (await store.write(await deletionWrites(intake, org, found))) || undefined;
  });
}

/** The writes that delete a credential with its value. */
export async function deletionWrites(
  { store, now }: Pick<Intake, "store" | "now">,
  org: string,
  { body: { name, version }, revision }: Item<CredentialRecord>,
): Promise<Write[]> {
  const deleted: DeletedCredential = { version, deletedAt: new Date(now()).toISOString() };
  const rotation = await store.get<RotationRecord>(rotationKey(org, name));
  return [
    { ...credentialKey(org, name), remove: true, expect: revision },
    { ...materialKey(org, name), remove: true },
    { partition: lastUsedPartition(org), sort: name, remove: true },
    removeGrantState(org, name),
    {
      ...deletedKey(org, name),
      body: deleted,
      expiresAt: Math.floor(now() / 1000) + REMEMBER_DELETED_SECONDS,
    },
    await countWrite(store, org, "credentials", -1),
    ...(rotation ? removeRotationWrites(org, rotation) : []),
  ];
}

const madeByConnection = () =>
  new StrongroomError(
    "conflict",
    "A connection has made this credential. Delete that, or connect again: /v1/connections.",
  );

/** A record as the API shows it. */
export const asCredential = (record: CredentialRecord, lastUsedAt?: string): Credential => ({
  ...record,
  ...(lastUsedAt !== undefined && { lastUsedAt }),
});
