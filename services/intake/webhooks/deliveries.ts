import { createHash } from "node:crypto";
import {
  type Delivery,
  type DeliveryPage,
  PAYLOAD_BYTES,
  type SendWebhook,
} from "../../shared/api/webhooks.ts";
import { seal } from "../../shared/envelope/envelope.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { policyHash } from "../../shared/work/destination.ts";
import type { Intake } from "../dependencies.ts";
import type { DueHandler } from "../due/loop.ts";
import { type PageAsked, readPage } from "../http/paging.ts";
import { newWorkId } from "../ids.ts";
import type { Jobs } from "../jobs/jobs.ts";
import { type DeliveryWork, type JobRecord, requestKey, type StoredRequest } from "../jobs/records.ts";
import type { Item, Key } from "../store/store.ts";
import { asFailure } from "../uses/view.ts";
import { deliveriesPartition, type WebhookRecord } from "./records.ts";
import { readWebhook } from "./webhooks.ts";

/** One attempt must have started by then. */
const TIMEOUT_SECONDS = 300;
const REMEMBER_ID_SECONDS = 7 * 24 * 3600;

export interface WebhookParts {
  intake: Intake;
  jobs: Jobs;
}

/**
 * Records the delivery of a message, and sends it. The same id is sent once. Throws `not_found`, `conflict` if the
 * webhook is disabled or the id had another payload, `body_too_large`, KeyProviderError.
 */
export async function sendWebhook(
  parts: WebhookParts,
  org: string,
  name: string,
  body: SendWebhook,
): Promise<JobRecord<DeliveryWork>> {
  const { intake, jobs } = parts;
  const { store, now } = intake;
  const { body: webhook } = await readWebhook(intake, org, name);
  const payload = Buffer.from(JSON.stringify(body.payload), "utf8");
  if (payload.length > PAYLOAD_BYTES) {
    throw new StrongroomError("body_too_large", `The payload is longer than ${PAYLOAD_BYTES / 1024} KiB.`);
  }
  const id = newWorkId(now());
  const webhookId = body.id ?? `msg_${id}`;
  const once: Key = { partition: `org/${org}/webhook-ids/${name}`, sort: webhookId };
  const digest = createHash("sha256").update(payload).digest("base64url");
  const earlier = await earlierDelivery(parts, org, once, digest);
  if (earlier) return earlier;
  if (webhook.disabled) throw new StrongroomError("conflict", "The webhook is disabled. Enable it first.");

  const work: DeliveryWork = {
    ...{ type: "deliver", webhook: name, webhookId, secretVersion: webhook.secretVersion },
    ...{ url: webhook.url, attempts: [], tries: 0 },
  };
  const job = jobs.create({ id, org, kind: "webhook", work, timeoutSeconds: TIMEOUT_SECONDS });
  const request: StoredRequest = { envelope: await sealPayload(intake, job, webhook, payload) };
  const isWritten = await store.write([
    ...jobs.writes(job, 0),
    { ...requestKey(job), body: request, expiresAt: job.expiresAt },
    { partition: deliveriesPartition(org, name), sort: id, body: {}, expiresAt: job.expiresAt },
    {
      ...once,
      body: { digest, job: id },
      expect: 0,
      expiresAt: Math.floor(now() / 1000) + REMEMBER_ID_SECONDS,
    },
  ]);
  if (!isWritten) {
    const other = await earlierDelivery(parts, org, once, digest);
    if (other) return other;
    throw new StrongroomError("conflict", "The delivery could not be recorded. Try again.");
  }
  await jobs.send(job);
  return job;
}

async function sealPayload(
  { keys }: Pick<Intake, "keys">,
  { id, org, work }: JobRecord<DeliveryWork>,
  { policy, url }: WebhookRecord,
  payload: Buffer,
): Promise<string> {
  const context = {
    ...{ org, credential: work.webhook, version: String(work.secretVersion), purpose: "webhook" as const },
    ...{ policy: policyHash(policy), job: id },
  };
  const { pathname, search } = new URL(url);
  const request = {
    method: "POST",
    path: `${pathname}${search}`,
    headers: { "content-type": "application/json" },
    body: payload.toString("base64"),
  };
  const plaintext = new TextEncoder().encode(JSON.stringify(request));
  const envelope = await seal(keys.webhook, context, plaintext);
  plaintext.fill(0);
  return Buffer.from(envelope).toString("base64");
}

async function earlierDelivery(
  { intake: { store }, jobs }: WebhookParts,
  org: string,
  once: Key,
  digest: string,
): Promise<JobRecord<DeliveryWork> | undefined> {
  const found = await store.get<{ digest: string; job: string }>(once);
  if (!found) return undefined;
  if (found.body.digest !== digest) {
    throw new StrongroomError("conflict", "This id was used for another payload.");
  }
  return (await jobs.get<DeliveryWork>({ org, kind: "webhook", id: found.body.job }))?.body;
}

/** A delivery of a webhook. Throws `not_found`. */
export async function readDelivery(
  { jobs }: WebhookParts,
  org: string,
  name: string,
  id: string,
): Promise<Item<JobRecord<DeliveryWork>>> {
  const found = await jobs.get<DeliveryWork>({ org, kind: "webhook", id });
  if (found?.body.work.webhook !== name) throw new StrongroomError("not_found", "There is no such delivery.");
  return found;
}

/** A page of a webhook's deliveries, newest first. */
export async function listDeliveries(
  parts: WebhookParts,
  org: string,
  name: string,
  asked: PageAsked,
): Promise<DeliveryPage> {
  await readWebhook(parts.intake, org, name);
  const order = { descending: true };
  const page = await readPage(parts.intake.store, deliveriesPartition(org, name), asked, order);
  const found = await Promise.all(
    page.items.map(({ sort: id }) => parts.jobs.get<DeliveryWork>({ org, kind: "webhook", id })),
  );
  const deliveries = found.flatMap((item) => (item ? [asDelivery(item.body)] : []));
  return { deliveries, ...(page.next !== undefined && { next: page.next }) };
}

/** Starts a delivery over, under the same id. Throws `not_found`, and `conflict` while it is queued. */
export async function redeliver(
  parts: WebhookParts,
  org: string,
  name: string,
  id: string,
): Promise<JobRecord<DeliveryWork>> {
  const { intake, jobs } = parts;
  const { body: webhook } = await readWebhook(intake, org, name);
  if (webhook.disabled) throw new StrongroomError("conflict", "The webhook is disabled. Enable it first.");
  const found = await readDelivery(parts, org, name, id);
  if (found.body.state === "queued") throw new StrongroomError("conflict", "The delivery is queued already.");
  const job = nextAttempt(jobs, found.body, 0);
  const request = await intake.store.get<StoredRequest>(requestKey(job));
  if (!request) throw new StrongroomError("result_gone", "The message is no longer kept.");
  const isWritten = await intake.store.write([
    ...jobs.writes(job, found.revision),
    { ...requestKey(job), body: request.body, expiresAt: job.expiresAt },
    { partition: deliveriesPartition(org, name), sort: id, body: {}, expiresAt: job.expiresAt },
  ]);
  if (!isWritten) throw new StrongroomError("conflict", "The delivery is being sent already.");
  await jobs.send(job);
  return (await readDelivery(parts, org, name, id)).body;
}

/** Makes the next attempt of a delivery that waits for it. */
export function retryDueHandler(parts: WebhookParts): DueHandler {
  const { intake, jobs } = parts;
  return async (item) => {
    if (item.body.type !== "retry") return;
    const removed = { partition: item.partition, sort: item.sort, remove: true as const };
    const found = await jobs.get<DeliveryWork>(item.body);
    if (found?.body.state !== "waiting" || found.body.attempt !== item.body.attempt) {
      await intake.store.write([removed]);
      return;
    }
    const job = nextAttempt(jobs, found.body, found.body.work.tries);
    const isWritten = await intake.store.write([removed, ...jobs.writes(job, found.revision)]);
    if (isWritten) await jobs.send(job);
  };
}

function nextAttempt(jobs: Jobs, job: JobRecord<DeliveryWork>, tries: number): JobRecord<DeliveryWork> {
  const { nextAt: _, ...work } = job.work;
  return jobs.again({ ...job, work: { ...work, tries } }, TIMEOUT_SECONDS);
}

/** A record as the API shows it. */
export function asDelivery({
  id,
  state,
  attempt,
  work,
  createdAt,
  endedAt,
}: JobRecord<DeliveryWork>): Delivery {
  const { webhook, webhookId, attempts, nextAt } = work;
  return {
    ...{ id, webhook, webhookId, state, attempt, createdAt },
    attempts: attempts.map(({ failure, ...each }) => ({
      ...each,
      ...(failure && { failure: asFailure(failure) }),
    })),
    ...(nextAt !== undefined && { nextAt }),
    ...(endedAt !== undefined && { endedAt }),
  };
}
