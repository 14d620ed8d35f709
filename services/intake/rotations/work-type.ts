import type { BrokerMessage, Outcome } from "../../shared/work/messages.ts";
import { loadUsable, withPrivateKey } from "../credentials/load.ts";
import {
  type BrokerRecord,
  credentialKey,
  materialKey,
  type StoredMaterial,
} from "../credentials/records.ts";
import type { Intake } from "../dependencies.ts";
import { inState, type JobRecord, type RotateWork } from "../jobs/records.ts";
import { CannotSend, type Settlement, type WorkType } from "../jobs/work-type.ts";
import { completionOf } from "./phases.ts";
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
import { CHANGED, changeBy, type Found } from "./transitions.ts";

/**
 * Phases of rotations, by workers of kind `broker`. What a phase's result changes is one write together with the job's
 * end; the run's next step is due then. See `transitions.ts`, and `advance.ts` for the step.
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
      const change = changeBy(org, work, found, outcome, at);
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
