import type { Outcome, WebhookMessage } from "../../shared/work/messages.ts";
import { FAILURES } from "../../shared/work/messages.ts";
import type { Intake } from "../dependencies.ts";
import { putDue } from "../due/due-items.ts";
import {
  type DeliveryAttempt,
  type DeliveryWork,
  inState,
  type JobFailure,
  type JobRecord,
  requestKey,
  type StoredRequest,
} from "../jobs/records.ts";
import { CannotSend, type WorkType } from "../jobs/work-type.ts";
import type { Item, Write } from "../store/store.ts";
import { type StoredSecrets, secretsKey, type WebhookRecord, webhookKey } from "./records.ts";

/** Seconds from one attempt to the next: 28 hours in all. */
export const BACKOFF = [5, 60, 300, 1_800, 7_200, 18_000, 36_000, 36_000];
/** A webhook whose deliveries have all failed for so long is disabled. */
const DISABLE_AFTER_SECONDS = 5 * 24 * 3600;
const ATTEMPTS_LISTED = 20;
/** Successes within this time of a recorded one are not recorded. */
const ACCURATE_TO_MS = 60_000;
const GONE = 410;

/** Deliveries of webhooks, by workers of kind `webhook`. */
export function deliveryWork({ store, now }: Pick<Intake, "store" | "now">): WorkType<DeliveryWork> {
  return {
    async compose(job) {
      const { org, work } = job;
      const [webhook, secrets, request] = await Promise.all([
        store.get<WebhookRecord>(webhookKey(org, work.webhook)),
        store.get<StoredSecrets>(secretsKey(org, work.webhook)),
        store.get<StoredRequest>(requestKey(job)),
      ]);
      if (!webhook || !secrets || !request) throw cannotSend("The webhook was deleted.");
      if (webhook.body.disabled) throw cannotSend("The webhook is disabled.");
      const message: WebhookMessage = {
        ...{ job: job.id, org, attempt: job.attempt, notAfter: job.notAfter, type: "deliver" },
        ...{ credential: work.webhook, policy: webhook.body.policy, webhookId: work.webhookId },
        secrets: signingSecrets(secrets.body, work.secretVersion, now() / 1000),
        request: request.body.envelope,
      };
      return JSON.stringify(message);
    },

    async settle(job, outcome, at) {
      if (outcome.state !== "answered" && outcome.state !== "failed") return undefined;
      const { org, work } = job;
      const attempt = attemptOf(job, outcome, at);
      const webhook = await store.get<WebhookRecord>(webhookKey(org, work.webhook));
      const attempts = [attempt, ...work.attempts].slice(0, ATTEMPTS_LISTED);
      const { nextAt: _, ...rest } = { ...work, attempts, tries: work.tries + 1 };
      if (!attempt.failure) {
        return {
          job: { ...inState(job, "succeeded", at), work: rest, endedAt: at },
          writes: webhook ? succeededWrites(org, webhook, at) : [],
        };
      }
      const writes = webhook ? failedWrites(org, webhook, attempt, at) : [];
      const seconds = mayPass(attempt) ? BACKOFF[work.tries] : undefined;
      if (seconds === undefined || !webhook) {
        return {
          job: { ...inState(job, "failed", at), work: rest, failure: attempt.failure, endedAt: at },
          writes,
        };
      }
      const next = Math.floor(now() / 1000) + seconds;
      const about = { org, kind: job.kind, id: job.id, attempt: job.attempt };
      return {
        job: {
          ...inState(job, "waiting", at),
          work: { ...rest, nextAt: new Date(next * 1000).toISOString() },
          // The time until the next attempt is not taken from what a record is kept.
          expiresAt: job.expiresAt + seconds,
        },
        writes: [...writes, putDue({ type: "retry", ...about }, next)],
      };
    },
  };
}

/** The secrets that sign: the newest, which the request was sealed with, and the one before while it is valid. */
function signingSecrets(
  { secrets }: StoredSecrets,
  sealedWith: number,
  seconds: number,
): WebhookMessage["secrets"] {
  const valid = secrets.filter(({ until }) => until === undefined || until > seconds);
  const first = valid.findIndex(({ version }) => version === sealedWith);
  // A message sealed before a rotation is signed by its own secret alone, which receivers still accept.
  if (first < 0)
    throw cannotSend(
      "The webhook has a new URL, or new secrets, since the message was sent. Send it again as a new one.",
    );
  return valid.slice(first).map(({ version, envelope }) => ({ version, material: { envelope } }));
}

/** A status other than 2xx is a failure: the receiver did not accept the message. */
function attemptOf({ attempt }: JobRecord, outcome: Outcome, at: string): DeliveryAttempt {
  if (outcome.state === "failed") {
    return { attempt, at, failure: { class: outcome.failure, detail: outcome.detail } };
  }
  if (outcome.state !== "answered") throw new Error("not an attempt's outcome");
  const { status } = outcome;
  if (status >= 200 && status < 300) return { attempt, at, status };
  const failure: JobFailure = { class: "answer_unusable", detail: `The receiver answered ${status}.` };
  return { attempt, at, status, failure };
}

/** Whether another attempt may succeed: after any status but 410, after failures that may pass, and if none was made. */
function mayPass({ status, failure }: DeliveryAttempt): boolean {
  if (status !== undefined) return status !== GONE;
  return failure !== undefined && (failure.class === "expired" || FAILURES[failure.class].isTransient);
}

function succeededWrites(org: string, webhook: Item<WebhookRecord>, at: string): Write[] {
  const { failingSince, lastDeliveredAt, ...rest } = webhook.body;
  const sinceLast = Date.parse(at) - Date.parse(lastDeliveredAt ?? "1970-01-01");
  if (failingSince === undefined && sinceLast < ACCURATE_TO_MS) return [];
  return [change(org, webhook, { ...rest, lastDeliveredAt: at })];
}

function failedWrites(
  org: string,
  webhook: Item<WebhookRecord>,
  { status }: DeliveryAttempt,
  at: string,
): Write[] {
  const { disabled, failingSince = at } = webhook.body;
  if (disabled) return [];
  const failing = Date.parse(at) - Date.parse(failingSince);
  const disabledBecause =
    status === GONE
      ? "The receiver answered 410: it is gone."
      : failing > DISABLE_AFTER_SECONDS * 1000
        ? `Every delivery has failed since ${failingSince}.`
        : undefined;
  if (disabledBecause === undefined && webhook.body.failingSince !== undefined) return [];
  const disabling = disabledBecause === undefined ? {} : { disabled: true, disabledBecause };
  return [change(org, webhook, { ...webhook.body, failingSince, ...disabling })];
}

const change = (org: string, { revision }: Item<WebhookRecord>, body: WebhookRecord): Write => ({
  ...webhookKey(org, body.name),
  body,
  expect: revision,
});

const cannotSend = (detail: string) => new CannotSend({ class: "request_not_allowed", detail });
