import type { Webhook, WebhookRotation } from "../../shared/api/webhooks.ts";
import type { DestinationPolicy } from "../../shared/work/destination.ts";
import { moveDue } from "../due/due-items.ts";
import type { Item, Key, Store, Write } from "../store/store.ts";

/** A webhook without its secret. */
export interface WebhookRecord extends Webhook {
  /** What its secrets are sealed for: its URL, so a changed URL needs a new secret. */
  policy: DestinationPolicy;
}

export const webhooksPartition = (org: string): string => `org/${org}/webhooks`;
export const webhookKey = (org: string, name: string): Key => ({
  partition: webhooksPartition(org),
  sort: name,
});

/** A webhook's signing secrets as they are kept, newest first: only a worker of kind `webhook` opens them. */
export interface StoredSecrets {
  secrets: {
    version: number;
    /** base64 */
    envelope: string;
    /** Seconds since 1970 until which an older one signs too; absent for the newest. */
    until?: number;
  }[];
}

export const secretsKey = (org: string, name: string): Key => ({
  partition: `org/${org}/webhook-secrets`,
  sort: name,
});

/** The last secret's version of a deleted webhook, so that none is ever used twice for a name. */
export const deletedWebhookKey = (org: string, name: string): Key => ({
  partition: `org/${org}/deleted-webhooks`,
  sort: name,
});
export interface DeletedWebhook {
  secretVersion: number;
}

/** Deliveries of a webhook by id; the jobs themselves are elsewhere, for results name no webhook. */
export const deliveriesPartition = (org: string, webhook: string): string =>
  `org/${org}/deliveries/${webhook}`;

/** The rotation of a webhook's secret. */
export interface WebhookRotationRecord extends Omit<WebhookRotation, "webhook" | "nextAt"> {
  name: string;
  /** When it runs by itself next; seconds since 1970. */
  nextSlot?: number;
}

export const webhookRotationKey = (org: string, name: string): Key => ({
  partition: `org/${org}/webhook-rotations`,
  sort: name,
});

/** The writes of a changed rotation; of a new one `found` is undefined. */
export function webhookRotationWrites(
  org: string,
  found: Item<WebhookRotationRecord> | undefined,
  next: WebhookRotationRecord,
): Write[] {
  const what = { type: "webhook-rotation" as const, org, name: next.name };
  return [
    { ...webhookRotationKey(org, next.name), body: next, expect: found?.revision ?? 0 },
    ...moveDue(what, found?.body.nextSlot, next.nextSlot),
  ];
}

/** The writes by which a webhook's rotation goes with it. */
export async function removeRotationWrites(store: Store, org: string, name: string): Promise<Write[]> {
  const found = await store.get<WebhookRotationRecord>(webhookRotationKey(org, name));
  if (!found) return [];
  return [
    { ...webhookRotationKey(org, name), remove: true, expect: found.revision },
    ...moveDue({ type: "webhook-rotation", org, name }, found.body.nextSlot, undefined),
  ];
}
