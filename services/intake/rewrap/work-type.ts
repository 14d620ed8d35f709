import type { BrokerMessage, IntegrationMessage } from "../../shared/work/messages.ts";
import { loadUsable } from "../credentials/load.ts";
import {
  type CredentialRecord,
  credentialKey,
  materialKey,
  policyHashOf,
  type StoredMaterial,
} from "../credentials/records.ts";
import type { Intake } from "../dependencies.ts";
import {
  inState,
  type JobFailure,
  type JobRecord,
  queuedPartition,
  type RewrapWork,
} from "../jobs/records.ts";
import { CannotSend, type WorkType } from "../jobs/work-type.ts";
import type { Write } from "../store/store.ts";
import { isEnvelopeFor } from "./check-envelope.ts";

const REPLACED: JobFailure = {
  class: "not_openable",
  detail: "The credential's value was replaced, sealed anew or deleted since this was asked for.",
};

/** Credentials sealed anew, by workers of the kind that may open them. */
export function rewrapWork({ store }: Pick<Intake, "store">): WorkType<RewrapWork> {
  return {
    async compose({ id, org, kind, attempt, notAfter, work }) {
      const { record, material } = (await loadUsable(store, org, work.credential)) ?? {};
      if (!record || !material || record.version !== work.version || record.purpose !== kind) {
        throw new CannotSend(REPLACED);
      }
      const about = { type: "rewrap", job: id, org, attempt, notAfter, material } as const;
      const { credential, version } = work;
      const message: IntegrationMessage | BrokerMessage =
        record.purpose === "broker"
          ? { ...about, credential, version, policy: record.destination }
          : { ...about, credential, version, policy: record.destination };
      return JSON.stringify(message);
    },

    async settle(job, outcome, at) {
      const { org, work } = job;
      const unqueue: Write = { partition: queuedPartition(org), sort: job.id, remove: true };
      const ended = (to: "succeeded" | "failed", failure?: JobFailure): JobRecord => ({
        ...inState(job, to, at),
        ...(failure && { failure }),
        endedAt: at,
      });
      const failed = (failure: JobFailure) => ({ job: ended("failed", failure), writes: [unqueue] });
      if (outcome.state === "failed") return failed({ class: outcome.failure, detail: outcome.detail });
      if (outcome.state !== "rewrapped") return undefined;
      const [record, material] = await Promise.all([
        store.get<CredentialRecord>(credentialKey(org, work.credential)),
        store.get<StoredMaterial>(materialKey(org, work.credential)),
      ]);
      const { version } = work;
      const isSame = record?.body.version === version && material?.body.version === version;
      if (!isSame || record.body.purpose !== job.kind || material.revision !== work.materialRevision)
        return failed(REPLACED);
      const { purpose } = record.body;
      const context = { org, credential: work.credential, version: String(version), purpose };
      const policy = policyHashOf(record.body);
      const { envelope } = outcome;
      if (!isEnvelopeFor({ ...context, policy }, Buffer.from(envelope, "base64"))) return undefined;
      const stored: StoredMaterial = { ...material.body, material: { envelope } };
      const versions = record.body.versions.map((each) =>
        each.version === version ? { ...each, rewrappedAt: at } : each,
      );
      const changed: CredentialRecord = { ...record.body, versions };
      return {
        job: ended("succeeded"),
        writes: [
          unqueue,
          { ...materialKey(org, work.credential), body: stored, expect: material.revision },
          { ...credentialKey(org, work.credential), body: changed, expect: record.revision },
        ],
      };
    },
  };
}
