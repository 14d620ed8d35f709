import type { Outcome } from "../../shared/work/messages.ts";
import { loadUsable } from "../credentials/load.ts";
import type { Intake } from "../dependencies.ts";
import {
  inState,
  type JobRecord,
  queuedPartition,
  requestKey,
  type StoredRequest,
  type UseWork,
} from "../jobs/records.ts";
import { CannotSend, type Settlement, type WorkType } from "../jobs/work-type.ts";
import type { Key, Write } from "../store/store.ts";
import { useMessage } from "./messages.ts";

/** What a result's item may have, with room for its keys. */
const MOST_RESULT_BYTES = 375 * 1024;

/** A result of a use, for as long as it is kept. */
export type StoredResult = Extract<Outcome, { state: "answered" | "sealed" }>;
export const resultKey = (org: string, id: string): Key => ({ partition: `org/${org}/results`, sort: id });

/** Uses of credentials, for workers of kind `integration`. */
export function useWork({ store, now }: Pick<Intake, "store" | "now">): WorkType<UseWork> {
  return {
    async compose(job) {
      const [usable, request] = await Promise.all([
        loadUsable(store, job.org, job.work.credential),
        store.get<StoredRequest>(requestKey(job)),
      ]);
      const record = usable?.record;
      const isSame = record?.purpose === "integration" && record.version === job.work.version;
      if (!usable || !isSame || !request) {
        throw cannotSend("not_openable", "The credential's version was replaced before the job was sent.");
      }
      if (record.disabled) {
        throw cannotSend("request_not_allowed", "The credential was disabled before the job was sent.");
      }
      return useMessage(job, { ...usable, record }, request.body.envelope);
    },
    async settle(job, outcome, at) {
      const { org, id, work } = job;
      const unqueue: Write = { partition: queuedPartition(org), sort: id, remove: true };
      const failed = (failure: JobRecord["failure"]): Settlement => ({
        job: { ...inState(job, "failed", at), endedAt: at, ...(failure && { failure }) },
        writes: [unqueue],
      });
      if (outcome.state === "failed") return failed({ class: outcome.failure, detail: outcome.detail });
      const expected = work.sealResultTo === undefined ? "answered" : "sealed";
      if (outcome.state !== expected) return undefined;
      if (Buffer.byteLength(JSON.stringify(outcome)) > MOST_RESULT_BYTES) {
        return failed({ class: "answer_too_large", detail: "The answer is larger than 256 KiB." });
      }
      const until = Math.floor(now() / 1000) + work.resultSeconds;
      const succeeded: UseWork = {
        ...work,
        resultUntil: new Date(until * 1000).toISOString(),
        ...(outcome.state === "answered" && { status: outcome.status }),
      };
      return {
        job: { ...inState(job, "succeeded", at), work: succeeded, endedAt: at },
        writes: [
          unqueue,
          { ...requestKey(job), remove: true },
          { ...resultKey(org, id), body: outcome satisfies Outcome, expiresAt: until },
        ],
      };
    },
  };
}

const cannotSend = (failure: "not_openable" | "request_not_allowed", detail: string) =>
  new CannotSend({ class: failure, detail });
