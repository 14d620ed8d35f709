import { policyHash } from "../../shared/work/destination.ts";
import type { IntegrationMessage } from "../../shared/work/messages.ts";
import {
  type CredentialRecord,
  credentialKey,
  materialKey,
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
import { loadUsable } from "../uses/messages.ts";
import { isEnvelopeFor } from "./check-envelope.ts";

const REPLACED: JobFailure = {
  class: "not_openable",
  detail: "The credential's value was replaced, sealed anew or deleted since this was asked for.",
};

/** Credentials sealed anew, by workers of kind `integration`. */
export function rewrapWork({ store }: Pick<Intake, "store">): WorkType<RewrapWork> {
  return {
    async compose({ id, org, attempt, notAfter, work }) {
      const usable = await loadUsable(store, org, work.credential);
      if (usable?.record.version !== work.version) throw new CannotSend(REPLACED);
      const message: IntegrationMessage = {
        ...{ type: "rewrap", job: id, org, attempt, notAfter, material: usable.material },
        ...{ credential: work.credential, version: work.version, policy: usable.record.destination },
      };
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
      if (!isSame || material.revision !== work.materialRevision) return failed(REPLACED);
      const { purpose, destination } = record.body;
      const context = { org, credential: work.credential, version: String(version), purpose };
      const policy = policyHash(destination);
      const { envelope } = outcome;
      if (!isEnvelopeFor({ ...context, policy }, Buffer.from(envelope, "base64"))) return undefined;
      const stored: StoredMaterial = { version, material: { envelope } };
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
