import type { Outcome } from "../../shared/work/messages.ts";
import {
  type BrokerRecord,
  credentialKey,
  materialKey,
  policyHashOf,
  type StoredMaterial,
  withVersion,
} from "../credentials/records.ts";
import type { JobFailure, RotateWork } from "../jobs/records.ts";
import { isEnvelopeFor } from "../rewrap/check-envelope.ts";
import type { Item, Write } from "../store/store.ts";
import { canRevoke, ended, inPhase, makingAfter, proofOf, retryAfter, tried } from "./phases.ts";
import {
  type PendingMaterial,
  pendingKey,
  type RetiringMaterial,
  type RotationRecord,
  type RunRecord,
  retiringKey,
} from "./records.ts";

export const CHANGED: JobFailure = {
  class: "not_openable",
  detail: "The credential was changed or deleted while it was rotated.",
};

/** What a result finds in the store. */
export interface Found {
  rotation: Item<RotationRecord>;
  run: RunRecord;
  credential: Item<BrokerRecord> | undefined;
  material: Item<StoredMaterial> | undefined;
  pending: PendingMaterial | undefined;
}

/** What a result changes of a rotation, beside the job. */
export interface Change {
  run: RunRecord;
  /** Seconds since 1970 until which the run waits; it goes on at once unless given. */
  waitUntil?: number;
  rotation: Omit<RotationRecord, "run" | "dueAt">;
  writes: Write[];
}

/** What a result of a run's job changes. Undefined if the outcome is not the phase's. */
export function changeBy(
  org: string,
  work: RotateWork,
  found: Found,
  outcome: Extract<Outcome, { state: "rotated" | "failed" }>,
  at: string,
): Change | undefined {
  return outcome.state === "failed"
    ? failed(org, found, outcome, at)
    : succeeded(org, work, found, outcome, at);
}

function succeeded(
  org: string,
  work: RotateWork,
  found: Found,
  outcome: Extract<Outcome, { state: "rotated" }>,
  at: string,
): Change | undefined {
  switch (work.phase) {
    case "make":
      return made(org, work, found, outcome, at);
    case "apply":
    case "check":
      return switched(org, work, found, at);
    case "revoke":
      return revoked(work, found, at);
  }
}

function made(
  org: string,
  work: RotateWork,
  { rotation, run, credential, material }: Found,
  { envelope, key, currentKey }: Extract<Outcome, { state: "rotated" }>,
  at: string,
): Change | undefined {
  if (envelope === undefined) return undefined;
  const { making: _, ...record } = rotation.body;
  const recipe = credential?.body.destination.rotation;
  if (!recipe || credential.body.version !== work.version) {
    // Made for a version that is no more: it is revoked by whatever value is the current one now.
    return abandoned(record, run, credential, key, CHANGED, at, []);
  }
  const version = work.version + 1;
  const context = {
    ...{ org, credential: work.credential, version: String(version), purpose: "broker" as const },
    policy: policyHashOf(credential.body),
  };
  if (!isEnvelopeFor(context, Buffer.from(envelope, "base64"))) return undefined;
  const oldKey = material?.body.key ?? currentKey ?? (recipe.type === "rest" ? recipe.currentId : undefined);
  const pending: PendingMaterial = {
    ...{ version, envelope },
    ...(key !== undefined && { key }),
    ...(oldKey !== undefined && { oldKey }),
  };
  return {
    run: inPhase(run, proofOf(recipe), at),
    rotation: record,
    writes: [{ ...pendingKey(org, work.credential), body: pending }],
  };
}

/** The new value works: it becomes the current one, and the old one retires, in one write. */
function switched(
  org: string,
  work: RotateWork,
  { rotation, run, credential, material, pending }: Found,
  at: string,
): Change {
  const name = work.credential;
  const recipe = credential?.body.destination.rotation;
  const isSame =
    credential?.body.version === work.version &&
    material?.body.version === work.version &&
    pending?.version === work.version + 1;
  if (!recipe || !isSame) {
    const removed: Write[] = [{ ...pendingKey(org, name), remove: true }];
    return abandoned(rotation.body, run, credential, pending?.key, CHANGED, at, removed);
  }
  const { version, envelope, key, oldKey } = pending;
  const record: BrokerRecord = {
    ...credential.body,
    version,
    versions: withVersion({ version, createdAt: at, sealedBy: "platform" }, credential.body.versions),
    updatedAt: at,
  };
  const stored: StoredMaterial = { version, material: { envelope }, ...(key !== undefined && { key }) };
  const isRevoked = canRevoke(recipe) && oldKey !== undefined;
  const switchedRun: RunRecord = { ...run, toVersion: version };
  const graceUntil = secondsOf(at) + rotation.body.graceSeconds;
  const replaced = isRevoked
    ? [{ key: oldKey, replacedBy: { version, ...(key !== undefined && { key }) } }]
    : [];
  const next: Pick<Change, "run" | "waitUntil"> = isRevoked
    ? {
        run: { ...inPhase(switchedRun, "grace", at), graceUntil, oldKey: "in_grace" },
        waitUntil: graceUntil,
      }
    : {
        run: {
          ...ended(switchedRun, at),
          oldKey: recipe.type === "postgresql" ? "replaced" : "unknown",
        },
      };
  return {
    ...next,
    rotation: { ...rotation.body, surplus: [...rotation.body.surplus, ...replaced] },
    writes: [
      { ...credentialKey(org, name), body: record, expect: credential.revision },
      { ...materialKey(org, name), body: stored, expect: material.revision },
      { ...pendingKey(org, name), remove: true },
      ...(isRevoked ? [{ ...retiringKey(org, name), body: material.body satisfies RetiringMaterial }] : []),
    ],
  };
}

function revoked(work: RotateWork, { rotation, run }: Found, at: string): Change {
  const surplus = rotation.body.surplus.filter(({ key }) => key !== work.surplus?.key);
  const about = { rotation: { ...rotation.body, surplus }, writes: [] };
  if (surplus.length > 0) return { ...about, run: inPhase(run, "revoke", at) };
  if (run.toVersion !== undefined) return { ...about, run: { ...ended(run, at), oldKey: "revoked" } };
  return { ...about, run: run.failure ? ended(run, at, run.failure) : inPhase(run, "make", at) };
}

function failed(
  org: string,
  { rotation, run, credential, pending }: Found,
  outcome: Extract<Outcome, { state: "failed" }>,
  at: string,
): Change {
  const failure: JobFailure = { class: outcome.failure, detail: outcome.detail };
  const making = run.phase === "make" ? makingAfter(rotation.body.making, outcome) : rotation.body.making;
  const { making: _, ...rest } = rotation.body;
  const record: RotationRecord = { ...rest, ...(making && { making }) };
  const wait = retryAfter(run, outcome);
  if (wait !== undefined) {
    return { rotation: record, run: tried(run, failure, at), waitUntil: secondsOf(at) + wait, writes: [] };
  }
  const isReplaced = credential?.body.version !== run.fromVersion;
  // Of a password that may have been applied the value is kept: the next run begins with it.
  const isKept = run.phase === "apply" && !isReplaced;
  if (run.phase === "check" || (run.phase === "apply" && !isKept)) {
    const writes: Write[] = [{ ...pendingKey(org, record.name), remove: true }];
    return abandoned(record, run, credential, pending?.key, failure, at, writes);
  }
  const oldKey = run.toVersion === undefined ? {} : { oldKey: "kept" as const };
  return {
    rotation: record,
    run: { ...ended(run, at, run.failure ?? failure), ...oldKey },
    writes: [],
  };
}

/** Gives the new value up. Its key, if its id is known, is revoked by the current value. */
function abandoned(
  record: Change["rotation"],
  run: RunRecord,
  credential: Item<BrokerRecord> | undefined,
  key: string | undefined,
  failure: JobFailure,
  at: string,
  writes: Write[],
): Change {
  const recipe = credential?.body.destination.rotation;
  if (key === undefined || !recipe || !canRevoke(recipe)) {
    return { rotation: record, run: ended(run, at, failure), writes };
  }
  return {
    rotation: { ...record, surplus: [...record.surplus, { key }] },
    run: { ...inPhase(run, "revoke", at), failure },
    writes,
  };
}

const secondsOf = (time: string): number => Math.floor(Date.parse(time) / 1000);
