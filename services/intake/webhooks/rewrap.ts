import type { WebhookRewrap } from "../../shared/api/webhooks.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { policyHash } from "../../shared/work/destination.ts";
import type { WebhookMessage } from "../../shared/work/messages.ts";
import type { Intake } from "../dependencies.ts";
import { newWorkId } from "../ids.ts";
import type { Jobs } from "../jobs/jobs.ts";
import {
  inState,
  type JobFailure,
  type JobRecord,
  queuedPartition,
  type RewrapSecretsWork,
} from "../jobs/records.ts";
import { CannotSend, type WorkType } from "../jobs/work-type.ts";
import { isEnvelopeFor } from "../rewrap/check-envelope.ts";
import type { InFlight } from "../uses/in-flight.ts";
import { asFailure } from "../uses/view.ts";
import { type StoredSecrets, secretsKey, type WebhookRecord, webhookKey } from "./records.ts";
import { readWebhook } from "./webhooks.ts";

export interface RewrapParts {
  intake: Intake;
  jobs: Jobs;
  inFlight: InFlight;
}

const TIMEOUT_SECONDS = 300;
const REPLACED: JobFailure = {
  class: "not_openable",
  detail: "The webhook's secrets were replaced, sealed anew or deleted since this was asked for.",
};

/** Asks a worker to seal a webhook's secrets anew. Throws `not_found`, `conflict`, `too_many_requests`. */
export async function submitSecretsRewrap(
  { intake, jobs, inFlight }: RewrapParts,
  org: string,
  name: string,
): Promise<JobRecord<RewrapSecretsWork>> {
  const { store, now } = intake;
  await readWebhook(intake, org, name);
  const secrets = await store.get<StoredSecrets>(secretsKey(org, name));
  if (!secrets) throw conflict();
  await inFlight.admit(org);
  const job = jobs.create({
    ...{ org, kind: "webhook", id: newWorkId(now()), timeoutSeconds: TIMEOUT_SECONDS },
    work: { type: "rewrap-secrets", webhook: name, secretsRevision: secrets.revision },
  });
  const isWritten = await store.write([
    ...jobs.writes(job, 0),
    { partition: queuedPartition(org), sort: job.id, body: {}, expiresAt: job.expiresAt },
  ]);
  if (!isWritten) throw conflict();
  await jobs.send(job);
  return job;
}

const conflict = () =>
  new StrongroomError("conflict", "The webhook is being changed at the same time. Try again.");

/** A rewrap of a webhook's secrets. Throws `not_found`. */
export async function readSecretsRewrap(
  { jobs }: Pick<RewrapParts, "jobs">,
  org: string,
  name: string,
  id: string,
): Promise<JobRecord<RewrapSecretsWork>> {
  const job = (await jobs.get<RewrapSecretsWork>({ org, kind: "webhook", id }))?.body;
  if (job?.work.type === "rewrap-secrets" && job.work.webhook === name) return job;
  throw new StrongroomError("not_found", "There is no such job.");
}

/** A rewrap as the API shows it. */
export function asWebhookRewrap({
  id,
  state,
  work,
  failure,
  createdAt,
  endedAt,
}: JobRecord<RewrapSecretsWork>): WebhookRewrap {
  return {
    ...{ id, webhook: work.webhook, state: state === "waiting" ? "queued" : state, createdAt },
    ...(failure && { failure: asFailure(failure) }),
    ...(endedAt !== undefined && { endedAt }),
  };
}

/** Webhooks' secrets sealed anew, by workers of kind `webhook`. */
export function rewrapSecretsWork({ store }: Pick<Intake, "store">): WorkType<RewrapSecretsWork> {
  const load = async (org: string, { webhook, secretsRevision }: RewrapSecretsWork) => {
    const [record, secrets] = await Promise.all([
      store.get<WebhookRecord>(webhookKey(org, webhook)),
      store.get<StoredSecrets>(secretsKey(org, webhook)),
    ]);
    return record && secrets?.revision === secretsRevision
      ? { policy: record.body.policy, secrets }
      : undefined;
  };

  return {
    async compose({ id, org, attempt, notAfter, work }) {
      const found = await load(org, work);
      if (!found) throw new CannotSend(REPLACED);
      const message: WebhookMessage = {
        ...{
          type: "rewrap",
          job: id,
          org,
          attempt,
          notAfter,
          credential: work.webhook,
          policy: found.policy,
        },
        secrets: found.secrets.body.secrets.map(({ version, envelope }) => ({
          version,
          material: { envelope },
        })),
      };
      return JSON.stringify(message);
    },

    async settle(job, outcome, at) {
      const { org, work } = job;
      const unqueue = { partition: queuedPartition(org), sort: job.id, remove: true as const };
      const failed = (failure: JobFailure) => ({
        job: { ...inState(job, "failed", at), failure, endedAt: at },
        writes: [unqueue],
      });
      if (outcome.state === "failed") return failed({ class: outcome.failure, detail: outcome.detail });
      if (outcome.state !== "secrets-rewrapped") return undefined;
      const found = await load(org, work);
      if (!found) return failed(REPLACED);
      const { secrets } = found.secrets.body;
      const { envelopes } = outcome;
      const bound = {
        org,
        credential: work.webhook,
        purpose: "webhook" as const,
        policy: policyHash(found.policy),
      };
      const areFit =
        envelopes.length === secrets.length &&
        secrets.every(({ version }, index) =>
          isEnvelopeFor(
            { ...bound, version: String(version) },
            Buffer.from(envelopes[index] ?? "", "base64"),
          ),
        );
      if (!areFit) return undefined;
      const stored: StoredSecrets = {
        secrets: secrets.map((secret, index) => ({ ...secret, envelope: envelopes[index] as string })),
      };
      return {
        job: { ...inState(job, "succeeded", at), endedAt: at },
        writes: [unqueue, { ...secretsKey(org, work.webhook), body: stored, expect: found.secrets.revision }],
      };
    },
  };
}
