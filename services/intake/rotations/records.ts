import type { Rotation, RotationRun } from "../../shared/api/rotations.ts";
import { canonicalJson } from "../../shared/canonical-json.ts";
import { StrongroomError } from "../../shared/errors.ts";
import type { Completion, Receipt } from "../../shared/receipts/receipt.ts";
import type { BrokerRecord, StoredMaterial } from "../credentials/records.ts";
import { moveDue } from "../due/due-items.ts";
import type { JobFailure, SurplusKey } from "../jobs/records.ts";
import type { Item, Key, Store, Write } from "../store/store.ts";
import { asFailure } from "../uses/view.ts";

export type RunPhase = RotationRun["phase"];

/** A run, as the store has it. Times are RFC 3339 unless said otherwise. */
export interface RunRecord
  extends Omit<RotationRun, "failure" | "steps" | "graceUntil" | "nextAt" | "state"> {
  state: "running" | "succeeded" | "failed";
  failure?: JobFailure;
  steps: { phase: RunPhase; at: string; failure?: JobFailure }[];
  /** Seconds since 1970. */
  graceUntil?: number;
  /** How often its phase has failed. */
  tries: number;
  /** Until when it waits: for another try, or for the end of the grace; seconds since 1970. */
  waitUntil?: number;
  /** The job in hand, and the receipt for what it does. */
  job?: string;
  receipt?: Receipt;
  /** What came of it; to be written to the chain. */
  completion?: Completion;
}

/** Whether a key may be revoked while this value is the current one. */
export const isSurplus = ({ replacedBy }: SurplusKey, current: StoredMaterial | undefined): boolean =>
  replacedBy === undefined ||
  current?.version === replacedBy.version ||
  (current?.key !== undefined && current.key === replacedBy.key);

/** A credential's rotation. Its recipe is in the credential's policy. */
export interface RotationRecord {
  name: string;
  everySeconds: number;
  graceSeconds: number;
  enabled: boolean;
  version: number;
  /** When it runs by itself next; seconds since 1970. */
  nextSlot?: number;
  /** The time of its due item: of the next slot, or of the run's next step; seconds since 1970. */
  dueAt?: number;
  run?: RunRecord;
  /** Keys at the provider that are to be revoked: the old one after its grace, and what an earlier run has left. */
  surplus: SurplusKey[];
  /** Attempts to make a key whose outcome is not known: their idempotency key, and since when; seconds since 1970. */
  making?: { once?: string; since: number };
  lastError?: string;
  createdAt: string;
  updatedAt: string;
}

const rotationsPartition = (org: string): string => `org/${org}/rotations`;
export const rotationKey = (org: string, name: string): Key => ({
  partition: rotationsPartition(org),
  sort: name,
});

/** A new value that is not in use yet, sealed for a version. */
export interface PendingMaterial {
  version: number;
  /** base64 */
  envelope: string;
  /** The provider's ids of its key, and of the one that it replaces. */
  key?: string;
  oldKey?: string;
}

/** The value that was replaced, until its key is revoked. */
export type RetiringMaterial = StoredMaterial;

export const pendingKey = (org: string, name: string): Key => ({
  partition: `org/${org}/pending-materials`,
  sort: name,
});
export const retiringKey = (org: string, name: string): Key => ({
  partition: `org/${org}/retiring-materials`,
  sort: name,
});

/** Runs that have ended, by id: ids sort by time. */
export const runsPartition = (org: string, name: string): string => `org/${org}/rotation-runs/${name}`;

/** The write of a changed rotation with the move of its due item; of a new one `found` is undefined. */
export function rotationWrites(
  org: string,
  found: Item<RotationRecord> | undefined,
  next: RotationRecord,
): Write[] {
  const what = { type: "rotation" as const, org, name: next.name };
  return [
    { ...rotationKey(org, next.name), body: next, expect: found?.revision ?? 0 },
    ...moveDue(what, found?.body.dueAt, next.dueAt),
  ];
}

/** The writes by which a rotation goes together with its credential. */
export function removeRotationWrites(org: string, { body, revision }: Item<RotationRecord>): Write[] {
  const { name, dueAt } = body;
  return [
    { ...rotationKey(org, name), remove: true, expect: revision },
    { ...pendingKey(org, name), remove: true },
    { ...retiringKey(org, name), remove: true },
    ...moveDue({ type: "rotation", org, name }, dueAt, undefined),
  ];
}

/** Whether a run has begun and its new value is not in use yet: then the current one must not change. */
const isBeforeSwitch = ({ run }: RotationRecord): boolean =>
  run !== undefined && run.toVersion === undefined && run.phase !== "ended";

const time = (seconds: number): string => new Date(seconds * 1000).toISOString();

/** A run as the API shows it. */
export function asRun({ failure, steps, graceUntil, waitUntil, ...record }: RunRecord): RotationRun {
  const { tries: _, job: __, receipt: ___, completion: ____, ...run } = record;
  return {
    ...run,
    ...(graceUntil !== undefined && { graceUntil: time(graceUntil) }),
    ...(failure && { failure: asFailure(failure) }),
    steps: steps.map(({ failure: why, ...step }) => ({ ...step, ...(why && { failure: asFailure(why) }) })),
    ...(waitUntil !== undefined && { nextAt: time(waitUntil) }),
  };
}

/** A rotation as the API shows it. */
export function asRotation(
  { name, nextSlot, dueAt: _, run, surplus, making: __, ...record }: RotationRecord,
  { destination: { rotation } }: BrokerRecord,
): Rotation {
  if (!rotation) throw new Error("a rotation without a recipe");
  return {
    ...{ credential: name, recipe: rotation, ...record },
    ...(nextSlot !== undefined && { nextAt: time(nextSlot) }),
    ...(run && { run: asRun(run) }),
    keysLeft: run?.phase === "grace" ? surplus.length - 1 : surplus.length,
  };
}

export const isSameRecipe = (one: unknown, other: unknown): boolean =>
  canonicalJson(one ?? null) === canonicalJson(other ?? null);

/**
 * Throws `conflict` while a new value of the credential is being made and is not in use yet. For a change that keeps the
 * value also if a failed run has left a password that may be in force: only the version that follows opens it. The
 * writes are to be part of the change's own: it fails if a run begins meanwhile.
 */
export async function unrotatedWrites(
  store: Store,
  org: string,
  name: string,
  { keepsValue = false }: { keepsValue?: boolean } = {},
): Promise<Write[]> {
  const found = await store.get<RotationRecord>(rotationKey(org, name));
  if (!found) return [];
  if (isBeforeSwitch(found.body)) {
    throw new StrongroomError(
      "conflict",
      "A rotation is making a new value of it. Try again in some minutes.",
    );
  }
  if (keepsValue && (await store.get(pendingKey(org, name)))) {
    const detail =
      "A rotation has failed while it changed the password. Start it again, or put the value anew.";
    throw new StrongroomError("conflict", detail);
  }
  return [{ ...rotationKey(org, name), body: found.body, expect: found.revision }];
}
