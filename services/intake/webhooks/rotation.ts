import { ROTATION_DEFAULTS } from "../../shared/api/rotations.ts";
import type { PutWebhookRotation, WebhookRotation, WebhookRotationRun } from "../../shared/api/webhooks.ts";
import { fromBase64Url, isPublicKey, sealResult } from "../../shared/envelope/sealing.ts";
import { StrongroomError } from "../../shared/errors.ts";
import type { By } from "../../shared/receipts/receipt.ts";
import type { Intake } from "../dependencies.ts";
import type { DueHandler } from "../due/loop.ts";
import { type Conditions, checkConditions } from "../http/conditions.ts";
import { newWorkId } from "../ids.ts";
import { retryConflicts } from "../retry-conflicts.ts";
import type { Item } from "../store/store.ts";
import {
  removeRotationWrites,
  type WebhookRotationRecord,
  webhookRotationKey,
  webhookRotationWrites,
} from "./records.ts";
import { readWebhook, withNewSecret } from "./webhooks.ts";

const GRACE_SECONDS = 24 * 3600;
const RUNS_KEPT = 50;

/** The rotation of a webhook's secret. Throws `not_found`. */
export async function readWebhookRotation(
  intake: Pick<Intake, "store">,
  org: string,
  name: string,
): Promise<Item<WebhookRotationRecord>> {
  await readWebhook(intake, org, name);
  const found = await intake.store.get<WebhookRotationRecord>(webhookRotationKey(org, name));
  if (!found) throw new StrongroomError("not_found", "The webhook has no rotation. Set one first.");
  return found;
}

/**
 * Sets when a webhook gets a new secret, and to which key that is sealed. Throws `not_found`, `precondition_failed`, and
 * `invalid_value` for a key that is none.
 */
export async function putWebhookRotation(
  intake: Intake,
  org: string,
  name: string,
  body: PutWebhookRotation,
  conditions: Conditions,
): Promise<{ rotation: WebhookRotation; isNew: boolean }> {
  const { store, now } = intake;
  if (!(await isKey(body.sealTo))) {
    throw new StrongroomError("invalid_value", "The key is not a P-256 point.", {
      errors: [{ pointer: "/body/sealTo", message: "is not a P-256 point" }],
    });
  }
  await readWebhook(intake, org, name);
  return retryConflicts(async () => {
    const found = await store.get<WebhookRotationRecord>(webhookRotationKey(org, name));
    checkConditions(conditions, found?.body.version);
    const at = new Date(now()).toISOString();
    const { nextSlot: _, ...kept } = found?.body ?? { runs: [], createdAt: at };
    const everySeconds = body.everySeconds ?? ROTATION_DEFAULTS.everySeconds;
    const enabled = body.enabled ?? true;
    const record: WebhookRotationRecord = {
      ...{ ...kept, name, sealTo: body.sealTo, everySeconds, enabled },
      graceSeconds: body.graceSeconds ?? GRACE_SECONDS,
      version: (found?.body.version ?? 0) + 1,
      updatedAt: at,
      ...(enabled && { nextSlot: Math.floor(now() / 1000) + everySeconds }),
    };
    const isWritten = await store.write(webhookRotationWrites(org, found, record));
    return isWritten ? { rotation: asWebhookRotation(record), isNew: !found } : undefined;
  });
}

async function isKey(text: string): Promise<boolean> {
  return isPublicKey(new Uint8Array(Buffer.from(text, "base64url")));
}

/** Ends the rotation of a webhook's secret, not the webhook. Throws `not_found`. */
export async function deleteWebhookRotation(
  { store }: Intake,
  org: string,
  name: string,
  conditions: Conditions,
): Promise<void> {
  await retryConflicts(async () => {
    const found = await readWebhookRotation({ store }, org, name);
    checkConditions(conditions, found.body.version);
    return (await store.write(await removeRotationWrites(store, org, name))) || undefined;
  });
}

/** Makes a new secret now, which nobody but the holder of the rotation's private key can read. Throws `not_found`. */
export async function startWebhookRotation(
  intake: Intake,
  org: string,
  name: string,
  by: By,
): Promise<WebhookRotationRun> {
  return retryConflicts(async () => {
    const found = await readWebhookRotation(intake, org, name);
    return rotate(intake, org, found, by);
  });
}

/** Makes the secret of a slot. */
export function webhookRotationDueHandler(intake: Intake): DueHandler {
  const { store } = intake;
  return async (item) => {
    if (item.body.type !== "webhook-rotation") return;
    const { org, name, slot } = item.body;
    const found = await store.get<WebhookRotationRecord>(webhookRotationKey(org, name));
    if (found?.body.nextSlot === slot) await rotate(intake, org, found, { schedule: name });
    else await store.write([{ partition: item.partition, sort: item.sort, remove: true }]);
  };
}

/** The new secret, sealed to the receiver, and the next slot are one write. Undefined if something else was faster. */
async function rotate(
  intake: Intake,
  org: string,
  found: Item<WebhookRotationRecord>,
  by: By,
): Promise<WebhookRotationRun | undefined> {
  const { store, now } = intake;
  const { name, graceSeconds, everySeconds, sealTo } = found.body;
  const webhook = await readWebhook(intake, org, name);
  const { secret, writes } = await withNewSecret(intake, org, webhook, graceSeconds);
  const run: WebhookRotationRun = {
    ...{ id: newWorkId(now()), secretVersion: secret.stored.version, by },
    at: new Date(now()).toISOString(),
  };
  const plaintext = new TextEncoder().encode(secret.text.reveal());
  const sealed = await sealResult(fromBase64Url(sealTo), { org, job: run.id }, plaintext);
  plaintext.fill(0);
  const { nextSlot: _, ...record } = found.body;
  const next: WebhookRotationRecord = {
    ...record,
    runs: [run, ...record.runs].slice(0, RUNS_KEPT),
    secret: { run: run.id, secretVersion: run.secretVersion, ...sealed },
    ...(record.enabled && { nextSlot: Math.floor(now() / 1000) + everySeconds }),
  };
  return (await store.write([...writes, ...webhookRotationWrites(org, found, next)])) ? run : undefined;
}

/** A record as the API shows it. */
export function asWebhookRotation(
  { name, nextSlot, ...record }: WebhookRotationRecord,
  secretVersion = record.secret?.secretVersion,
): WebhookRotation {
  const { secret, ...rest } = record;
  return {
    ...{ webhook: name, ...rest },
    ...(nextSlot !== undefined && { nextAt: new Date(nextSlot * 1000).toISOString() }),
    ...(secret && secret.secretVersion === secretVersion && { secret }),
  };
}
