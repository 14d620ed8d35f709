import type { BrokerMessage, Outcome } from "../../shared/work/messages.ts";
import { loadUsable, withPrivateKey } from "../credentials/load.ts";
import {
  type BrokerRecord,
  credentialKey,
  materialKey,
  policyHashOf,
  type StoredMaterial,
} from "../credentials/records.ts";
import type { Intake } from "../dependencies.ts";
import { inState, type JobFailure, type JobRecord, type RotateWork } from "../jobs/records.ts";
import { CannotSend, type Settlement, type WorkType } from "../jobs/work-type.ts";
import { isEnvelopeFor } from "../rewrap/check-envelope.ts";
import type { Item, Write } from "../store/store.ts";
import {
  canRevoke,
  completionOf,
  ended,
  inPhase,
  makingAfter,
  proofOf,
  retryAfter,
  tried,
} from "./phases.ts";
import {
  isSurplus,
  type PendingMaterial,
  pendingKey,
  type RetiringMaterial,
  type RotationRecord,
  type RunRecord,
  retiringKey,
  rotationKey,
  rotationWrites,
} from "./records.ts";

const VERSIONS_LISTED = 20;
const CHANGED: JobFailure = {
  class: "not_openable",
  detail: "The credential was changed or deleted while it was rotated.",
};

/** What a result finds in the store. */
interface Found {
  rotation: Item<RotationRecord>;
  run: RunRecord;
  credential: Item<BrokerRecord> | undefined;
  material: Item<StoredMaterial> | undefined;
  pending: PendingMaterial | undefined;
}

/** What a result changes of a rotation, beside the job. */
interface Change {
  run: RunRecord;
  /** Seconds since 1970 until which the run waits; it goes on at once unless given. */
  waitUntil?: number;
  rotation: Omit<RotationRecord, "run" | "dueAt">;
  writes: Write[];
}

/**
 * Phases of rotations, by workers of kind `broker`. What a phase's result changes is one write together with the job's
 * end; the run's next step is due then. See `advance.ts`.
 */
export function rotateWork({ store, now }: Pick<Intake, "store" | "now">): WorkType<RotateWork> {
  const seconds = () => Math.floor(now() / 1000);

  const find = async (org: string, name: string): Promise<Partial<Found>> => {
    const [rotation, credential, material, pending] = await Promise.all([
      store.get<RotationRecord>(rotationKey(org, name)),
      store.get<BrokerRecord>(credentialKey(org, name)),
      store.get<StoredMaterial>(materialKey(org, name)),
      store.get<PendingMaterial>(pendingKey(org, name)),
    ]);
    return {
      ...(rotation && { rotation }),
      ...(rotation?.body.run && { run: rotation.body.run }),
      ...{ credential, material, pending: pending?.body },
    };
  };

  return {
    async compose({ id, org, attempt, notAfter, work }) {
      const { credential: name, phase, version } = work;
      const [usable, pending, retiring] = await Promise.all([
        loadUsable(store, org, name),
        store.get<PendingMaterial>(pendingKey(org, name)),
        store.get<RetiringMaterial>(retiringKey(org, name)),
      ]);
      if (usable?.record.purpose !== "broker") throw new CannotSend(CHANGED);
      const { record, material } = usable;
      const isPending = phase === "apply" || phase === "check";
      if (phase !== "revoke" && record.version !== version) throw new CannotSend(CHANGED);
      const current = await store.get<StoredMaterial>(materialKey(org, name));
      if (work.surplus && !isSurplus(work.surplus, current?.body)) throw new CannotSend(CHANGED);
      if (isPending && pending?.body.version !== version + 1) throw new CannotSend(CHANGED);
      const old =
        phase === "revoke" && retiring
          ? await withPrivateKey(store, { org, purpose: "broker" }, retiring.body.material)
          : undefined;
      const message: BrokerMessage = {
        ...{ type: "rotate", phase, job: id, org, attempt, notAfter, credential: name },
        ...{ version: record.version, policy: record.destination, material },
        ...(isPending && pending && { pending: { envelope: pending.body.envelope } }),
        // Sealed for the policy that was there before: another policy since then, and it does not open.
        ...(old && retiring && { retiring: { version: retiring.body.version, material: old } }),
        ...(work.surplus && { key: work.surplus.key }),
        ...(work.making && { once: work.making.once, lostSince: work.making.since }),
      };
      return JSON.stringify(message);
    },

    async settle(job, outcome, at) {
      const { org, work } = job;
      if (outcome.state !== "rotated" && outcome.state !== "failed") return undefined;
      const { rotation, run, ...rest } = await find(org, work.credential);
      if (!rotation || !run || run.job !== job.id) return { job: endedJob(job, outcome, at), writes: [] };
      const found = {
        rotation,
        run,
        credential: rest.credential,
        material: rest.material,
        pending: rest.pending,
      };
      const change =
        outcome.state === "failed"
          ? failed(org, found, outcome, at)
          : succeeded(org, work, found, outcome, at);
      if (!change) return undefined;
      const completion = completionOf(outcome, Date.parse(at) - job.queuedAt * 1000);
      const { waitUntil } = change;
      const changed: RunRecord = {
        ...change.run,
        ...(waitUntil !== undefined && { waitUntil }),
        ...(change.run.receipt && { completion }),
      };
      // Due at once also if it waits: the receipt is to be completed before.
      const next: RotationRecord = { ...change.rotation, run: changed, dueAt: seconds() };
      return {
        job: endedJob(job, outcome, at),
        writes: [...rotationWrites(org, rotation, next), ...change.writes],
      } satisfies Settlement;
    },
  };

  /** Undefined if the outcome is not the phase's. */
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
    const oldKey =
      material?.body.key ?? currentKey ?? (recipe.type === "rest" ? recipe.currentId : undefined);
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
      versions: [
        { version, createdAt: at, sealedBy: "platform" as const },
        ...credential.body.versions,
      ].slice(0, VERSIONS_LISTED),
      updatedAt: at,
    };
    const stored: StoredMaterial = { version, material: { envelope }, ...(key !== undefined && { key }) };
    const isRevoked = canRevoke(recipe) && oldKey !== undefined;
    const switchedRun: RunRecord = { ...run, toVersion: version };
    const graceUntil = seconds() + rotation.body.graceSeconds;
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
      return { rotation: record, run: tried(run, failure, at), waitUntil: seconds() + wait, writes: [] };
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
}

function endedJob(job: JobRecord<RotateWork>, outcome: Outcome, at: string): JobRecord {
  return outcome.state === "failed"
    ? {
        ...inState(job, "failed", at),
        failure: { class: outcome.failure, detail: outcome.detail },
        endedAt: at,
      }
    : { ...inState(job, "succeeded", at), endedAt: at };
}
