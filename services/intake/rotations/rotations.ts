import {
  type PutRotation,
  ROTATION_DEFAULTS,
  type Rotation,
  type RotationRun,
  type RotationRunPage,
} from "../../shared/api/rotations.ts";
import { StrongroomError } from "../../shared/errors.ts";
import type { By } from "../../shared/receipts/receipt.ts";
import { readCredential } from "../credentials/credentials.ts";
import { type BrokerRecord, isConnections } from "../credentials/records.ts";
import type { Intake } from "../dependencies.ts";
import { type Conditions, checkConditions } from "../http/conditions.ts";
import { type PageAsked, readPage } from "../http/paging.ts";
import { retryConflicts } from "../retry-conflicts.ts";
import type { Item } from "../store/store.ts";
import { begin, type RotationParts } from "./advance.ts";
import {
  asRotation,
  asRun,
  type RotationRecord,
  type RunRecord,
  removeRotationWrites,
  rotationKey,
  rotationWrites,
  runsPartition,
} from "./records.ts";

/** A credential that can be rotated. Throws `not_found`, and `conflict` for one that is not the broker's. */
export async function rotatable(
  intake: Pick<Intake, "store">,
  org: string,
  name: string,
): Promise<Item<BrokerRecord>> {
  const { body, ...item } = await readCredential(intake, org, name);
  if (isConnections(body)) {
    throw new StrongroomError(
      "conflict",
      "A connection's value is replaced by its provider, not by a rotation.",
    );
  }
  if (body.purpose === "broker") return { ...item, body };
  throw new StrongroomError("conflict", "Only a credential of purpose broker can be rotated.");
}

/** A credential's rotation. Throws `not_found`. */
export async function readRotation(
  intake: Pick<Intake, "store">,
  org: string,
  name: string,
): Promise<{ rotation: Item<RotationRecord>; credential: BrokerRecord }> {
  const [credential, rotation] = await Promise.all([
    rotatable(intake, org, name),
    intake.store.get<RotationRecord>(rotationKey(org, name)),
  ]);
  if (rotation && credential.body.destination.rotation) return { rotation, credential: credential.body };
  throw new StrongroomError("not_found", "The credential has no rotation. Set one first.");
}

/** Throws `precondition_failed` unless the rotation is as the conditions demand. */
export async function checkRotation(
  { store }: Pick<Intake, "store">,
  org: string,
  name: string,
  conditions: Conditions,
): Promise<void> {
  const found = await store.get<RotationRecord>(rotationKey(org, name));
  checkConditions(conditions, found?.body.version);
}

/**
 * Sets when a credential is rotated. Its policy must have a recipe. A run that is under way goes on. Throws `not_found`,
 * `precondition_failed`, `invalid_value`.
 */
export async function putRotation(
  { store, now }: Intake,
  org: string,
  credential: BrokerRecord,
  body: Omit<PutRotation, "recipe">,
  conditions: Conditions,
): Promise<{ rotation: Rotation; isNew: boolean }> {
  const { name } = credential;
  if (!credential.destination.rotation) {
    throw new StrongroomError("invalid_value", "The credential's policy has no recipe: give one.", {
      errors: [{ pointer: "/body/recipe", message: "is missing" }],
    });
  }
  return retryConflicts(async () => {
    const found = await store.get<RotationRecord>(rotationKey(org, name));
    checkConditions(conditions, found?.body.version);
    const at = new Date(now()).toISOString();
    const { nextSlot: _, dueAt, ...kept } = found?.body ?? { surplus: [], createdAt: at };
    const settings = {
      everySeconds: body.everySeconds ?? ROTATION_DEFAULTS.everySeconds,
      graceSeconds: body.graceSeconds ?? ROTATION_DEFAULTS.graceSeconds,
      enabled: body.enabled ?? true,
    };
    const nextSlot = settings.enabled ? Math.floor(now() / 1000) + settings.everySeconds : undefined;
    const due = found?.body.run ? dueAt : nextSlot;
    const record: RotationRecord = {
      ...{ ...kept, name, ...settings, version: (found?.body.version ?? 0) + 1, updatedAt: at },
      ...(nextSlot !== undefined && { nextSlot }),
      ...(due !== undefined && { dueAt: due }),
    };
    const isWritten = await store.write(rotationWrites(org, found, record));
    return isWritten ? { rotation: asRotation(record, credential), isNew: !found } : undefined;
  });
}

/** Starts a run now. Throws `not_found`, `credential_disabled`, and `conflict` if one is under way. */
export async function startRotation(
  parts: RotationParts,
  org: string,
  name: string,
  by: By,
): Promise<RotationRun> {
  const { rotation } = await readRotation(parts.intake, org, name);
  return asRun(await begin(parts, org, rotation, by));
}

/** Ends the rotation of a credential, not the credential. Throws `not_found`, and `conflict` during a run. */
export async function deleteRotation(
  intake: Intake,
  org: string,
  name: string,
  conditions: Conditions,
): Promise<void> {
  await retryConflicts(async () => {
    const { rotation } = await readRotation(intake, org, name);
    checkConditions(conditions, rotation.body.version);
    if (rotation.body.run) {
      throw new StrongroomError("conflict", "A rotation is under way. Wait for its end.");
    }
    return (await intake.store.write(removeRotationWrites(org, rotation))) || undefined;
  });
}

/** A run by its id. Throws `not_found`. */
export async function readRun(
  intake: Pick<Intake, "store">,
  org: string,
  name: string,
  id: string,
): Promise<RotationRun> {
  const { rotation } = await readRotation(intake, org, name);
  const { run } = rotation.body;
  if (run?.id === id) return asRun(run);
  const found = await intake.store.get<RunRecord>({ partition: runsPartition(org, name), sort: id });
  if (!found) throw new StrongroomError("not_found", "There is no such run, or it is no longer kept.");
  return asRun(found.body);
}

/** The runs of a credential, the newest first; the one that is under way is the first of all. */
export async function listRuns(
  intake: Pick<Intake, "store">,
  org: string,
  name: string,
  asked: PageAsked,
): Promise<RotationRunPage> {
  const { rotation } = await readRotation(intake, org, name);
  const { run } = rotation.body;
  const page = await readPage<RunRecord>(intake.store, runsPartition(org, name), asked, { descending: true });
  return {
    runs: [
      ...(run && asked.cursor === undefined ? [asRun(run)] : []),
      ...page.items.map(({ body }) => asRun(body)),
    ],
    ...(page.next !== undefined && { next: page.next }),
  };
}
