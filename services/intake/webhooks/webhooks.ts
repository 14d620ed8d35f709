import type { PutWebhook, Webhook } from "../../shared/api/webhooks.ts";
import { StrongroomError } from "../../shared/errors.ts";
import type { Secret } from "../../shared/secret.ts";
import { type DestinationPolicy, forbiddenByPolicy } from "../../shared/work/destination.ts";
import { countWrite } from "../counts.ts";
import { checkUrl } from "../credentials/check-destination.ts";
import type { Intake } from "../dependencies.ts";
import { type Conditions, checkConditions } from "../http/conditions.ts";
import { retryConflicts } from "../retry-conflicts.ts";
import type { Item, Write } from "../store/store.ts";
import {
  type DeletedWebhook,
  deletedWebhookKey,
  removeRotationWrites,
  type StoredSecrets,
  secretsKey,
  type WebhookRecord,
  webhookKey,
} from "./records.ts";
import { makeSecret, type NewSecret } from "./secrets.ts";

/** How long the secret before a rotation signs too. */
const OVERLAP_SECONDS = 24 * 3600;
const REMEMBER_DELETED_SECONDS = 400 * 24 * 3600;

/** A webhook, and its secret if it is new. */
export interface ChangedWebhook {
  webhook: WebhookRecord;
  secret?: Secret;
}

/** A webhook's record. Throws `not_found`, also for another organization's. */
export async function readWebhook(
  { store }: Pick<Intake, "store">,
  org: string,
  name: string,
): Promise<Item<WebhookRecord>> {
  const found = await store.get<WebhookRecord>(webhookKey(org, name));
  if (!found) throw new StrongroomError("not_found", "There is no such webhook.");
  return found;
}

/**
 * Creates or changes a webhook. A new one, and one whose URL's origin or path changes, gets a new secret, for a secret
 * is sealed for its destination.
 */
export async function putWebhook(
  intake: Intake,
  org: string,
  name: string,
  body: PutWebhook,
  conditions: Conditions,
): Promise<ChangedWebhook & { isNew: boolean }> {
  const { store, now } = intake;
  const policy = policyOf(body.url, intake.destinationPorts);
  return retryConflicts(async () => {
    const [found, deleted] = await Promise.all([
      store.get<WebhookRecord>(webhookKey(org, name)),
      store.get<DeletedWebhook>(deletedWebhookKey(org, name)),
    ]);
    checkConditions(conditions, found?.body.version);
    const at = new Date(now()).toISOString();
    const before = found?.body;
    const isSame = before?.policy.origin === policy.origin && before.policy.paths[0] === policy.paths[0];
    const secretVersion = isSame
      ? before.secretVersion
      : Math.max(before?.secretVersion ?? 0, deleted?.body.secretVersion ?? 0) + 1;
    const secret = isSame
      ? undefined
      : await makeSecret(intake, { org, name, version: secretVersion, policy });
    const webhook: WebhookRecord = {
      ...{ name, url: body.url, policy, secretVersion },
      ...(body.description !== undefined && { description: body.description }),
      ...(isSame && kept(before)),
      version: (before?.version ?? 0) + 1,
      disabled: before?.disabled ?? false,
      createdAt: before?.createdAt ?? at,
      updatedAt: at,
    };
    const isWritten = await store.write([
      { ...webhookKey(org, name), body: webhook, expect: found?.revision ?? 0 },
      ...(secret ? [secretsWrite(org, name, [secret.stored])] : []),
      ...(found ? [] : [await countWrite(store, org, "webhooks", 1)]),
    ]);
    return isWritten ? { webhook, isNew: !found, ...shown(secret) } : undefined;
  });
}

const kept = ({ previousSecretUntil, lastDeliveredAt, failingSince, disabledBecause }: WebhookRecord) => ({
  ...(previousSecretUntil !== undefined && { previousSecretUntil }),
  ...(lastDeliveredAt !== undefined && { lastDeliveredAt }),
  ...(failingSince !== undefined && { failingSince }),
  ...(disabledBecause !== undefined && { disabledBecause }),
});

/** Makes a new secret; the one before signs too for a day, so that receivers can follow. */
export async function rotateSecret(intake: Intake, org: string, name: string): Promise<ChangedWebhook> {
  return retryConflicts(async () => {
    const found = await readWebhook(intake, org, name);
    const { webhook, secret, writes } = await withNewSecret(intake, org, found, OVERLAP_SECONDS);
    return (await intake.store.write(writes)) ? { webhook, ...shown(secret) } : undefined;
  });
}

/** A webhook with a new secret, and the writes that make it so; the one before signs too for so many seconds. */
export async function withNewSecret(
  intake: Intake,
  org: string,
  found: Item<WebhookRecord>,
  graceSeconds: number,
): Promise<{ webhook: WebhookRecord; secret: NewSecret; writes: Write[] }> {
  const { store, now } = intake;
  const { name, policy } = found.body;
  const stored = await store.get<StoredSecrets>(secretsKey(org, name));
  const secretVersion = found.body.secretVersion + 1;
  const secret = await makeSecret(intake, { org, name, version: secretVersion, policy });
  const until = Math.floor(now() / 1000) + graceSeconds;
  const previous = stored?.body.secrets.find(({ version }) => version === found.body.secretVersion);
  const webhook: WebhookRecord = {
    ...found.body,
    secretVersion,
    previousSecretUntil: new Date(until * 1000).toISOString(),
    version: found.body.version + 1,
    updatedAt: new Date(now()).toISOString(),
  };
  const writes = [
    { ...webhookKey(org, name), body: webhook, expect: found.revision },
    secretsWrite(org, name, [secret.stored, ...(previous ? [{ ...previous, until }] : [])]),
  ];
  return { webhook, secret, writes };
}

/** Disables or enables a webhook. Enabling forgets its failures. */
export async function setWebhookDisabled(
  intake: Intake,
  org: string,
  name: string,
  disabled: boolean,
): Promise<WebhookRecord> {
  return retryConflicts(async () => {
    const found = await readWebhook(intake, org, name);
    if (found.body.disabled === disabled) return found.body;
    const { disabledBecause: _, failingSince: __, ...rest } = found.body;
    const updatedAt = new Date(intake.now()).toISOString();
    const webhook = { ...rest, disabled, version: found.body.version + 1, updatedAt };
    const isWritten = await intake.store.write([
      { ...webhookKey(org, name), body: webhook, expect: found.revision },
    ]);
    return isWritten ? webhook : undefined;
  });
}

/** Deletes a webhook with its secrets. Deliveries that wait for another attempt fail. */
export async function deleteWebhook(
  intake: Intake,
  org: string,
  name: string,
  conditions: Conditions,
): Promise<void> {
  const { store, now } = intake;
  await retryConflicts(async () => {
    const found = await readWebhook(intake, org, name);
    checkConditions(conditions, found.body.version);
    const deleted: DeletedWebhook = { secretVersion: found.body.secretVersion };
    const isWritten = await store.write([
      { ...webhookKey(org, name), remove: true, expect: found.revision },
      { ...secretsKey(org, name), remove: true },
      {
        ...deletedWebhookKey(org, name),
        body: deleted,
        expiresAt: Math.floor(now() / 1000) + REMEMBER_DELETED_SECONDS,
      },
      await countWrite(store, org, "webhooks", -1),
      ...(await removeRotationWrites(store, org, name)),
    ]);
    return isWritten || undefined;
  });
}

/** A record as the API shows it. */
export const asWebhook = ({ policy: _, ...webhook }: WebhookRecord): Webhook => webhook;

const shown = (secret: NewSecret | undefined) => (secret ? { secret: secret.text } : {});

const secretsWrite = (org: string, name: string, secrets: StoredSecrets["secrets"]): Write => ({
  ...secretsKey(org, name),
  body: { secrets } satisfies StoredSecrets,
});

/** The policy of a webhook: its URL's origin and path, and POST. Throws `invalid_destination`. */
function policyOf(url: string, ports: ReadonlySet<number>): DestinationPolicy {
  const { origin, path } = checkUrl(url, ports);
  const [withoutQuery = ""] = path.split("?", 1);
  const policy: DestinationPolicy = {
    ...{ origin, methods: ["POST"], paths: [withoutQuery] },
    inject: { signature: "standard-webhooks" },
  };
  // An asterisk would make the path a pattern.
  const problem = withoutQuery.includes("*")
    ? "the path has an asterisk"
    : forbiddenByPolicy(policy, { method: "POST", path });
  if (problem === undefined) return policy;
  throw new StrongroomError("invalid_destination", `The URL is not allowed: ${problem}.`, {
    errors: [{ pointer: "/body/url", message: problem }],
  });
}
