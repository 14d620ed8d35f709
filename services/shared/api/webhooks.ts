import { type Static, Type } from "typebox";
import { By } from "../receipts/receipt.ts";
import { Name, WorkId } from "../work/messages.ts";
import { Next } from "./pages.ts";
import { EverySeconds } from "./rotations.ts";
import { Time } from "./time.ts";
import { Failure } from "./uses.ts";

const closed = { additionalProperties: false };

/** The most bytes of a payload's JSON. */
export const PAYLOAD_BYTES = 128 * 1024;

const Url = Type.String({ maxLength: 2048, description: "https, without userinfo and fragment" });
const Description = Type.String({ maxLength: 200 });

/** Body of `PUT /v1/webhooks/:name`. */
export const PutWebhook = Type.Object({ url: Url, description: Type.Optional(Description) }, closed);
export type PutWebhook = Static<typeof PutWebhook>;

/** A receiver of webhooks, without its secret. */
export const Webhook = Type.Object(
  {
    name: Name,
    url: Url,
    description: Type.Optional(Description),
    /** Of the record; `ETag` and `If-Match` have it. */
    version: Type.Integer(),
    secretVersion: Type.Integer(),
    /** Until when the previous secret signs too. */
    previousSecretUntil: Type.Optional(Time),
    disabled: Type.Boolean(),
    /** Why the platform disabled it. */
    disabledBecause: Type.Optional(Type.String()),
    lastDeliveredAt: Type.Optional(Time),
    /** Since when every delivery has failed. */
    failingSince: Type.Optional(Time),
    createdAt: Time,
    updatedAt: Time,
  },
  closed,
);
export type Webhook = Static<typeof Webhook>;

/** A webhook with its new secret: the answer of its creation and of a rotation, and never again. */
export const WebhookWithSecret = Type.Object(
  {
    ...Webhook.properties,
    secret: Type.Optional(Type.String({ description: "`whsec_…`, shown this once" })),
  },
  closed,
);
export type WebhookWithSecret = Static<typeof WebhookWithSecret>;

/** One page of `GET /v1/webhooks`, ordered by name. */
export const WebhookPage = Type.Object({ webhooks: Type.Array(Webhook), next: Next }, closed);
export type WebhookPage = Static<typeof WebhookPage>;

/** Body of `POST /v1/webhooks/:name/send`. */
export const SendWebhook = Type.Object(
  {
    payload: Type.Unknown({ description: "Any JSON; at most 128 KiB" }),
    id: Type.Optional(
      Type.String({
        pattern: "^[A-Za-z0-9_-]{1,64}$",
        description: "`webhook-id`; the same id is sent once",
      }),
    ),
  },
  closed,
);
export type SendWebhook = Static<typeof SendWebhook>;

/** A delivery of a webhook. */
export const Delivery = Type.Object(
  {
    id: WorkId,
    webhook: Name,
    webhookId: Type.String(),
    /** `waiting`: the next attempt is at `nextAt`. */
    state: Type.Enum(["queued", "waiting", "succeeded", "failed"]),
    attempt: Type.Integer(),
    /** The last attempts, newest first. */
    attempts: Type.Array(
      Type.Object(
        {
          attempt: Type.Integer(),
          at: Time,
          status: Type.Optional(Type.Integer()),
          failure: Type.Optional(Failure),
        },
        closed,
      ),
    ),
    nextAt: Type.Optional(Time),
    createdAt: Time,
    endedAt: Type.Optional(Time),
  },
  closed,
);
export type Delivery = Static<typeof Delivery>;

/** One page of `GET /v1/webhooks/:name/deliveries`, newest first. */
export const DeliveryPage = Type.Object({ deliveries: Type.Array(Delivery), next: Next }, closed);
export type DeliveryPage = Static<typeof DeliveryPage>;

/** A job that seals a webhook's secrets anew, by the key provider's current key. */
export const WebhookRewrap = Type.Object(
  {
    id: WorkId,
    webhook: Name,
    state: Type.Enum(["queued", "succeeded", "failed"]),
    failure: Type.Optional(Failure),
    createdAt: Time,
    endedAt: Type.Optional(Time),
  },
  closed,
);
export type WebhookRewrap = Static<typeof WebhookRewrap>;

/** How long the secret before signs too: a day unless given. */
const SecretGrace = Type.Integer({ minimum: 3600, maximum: 30 * 24 * 3600 });
const Point = Type.String({
  pattern: "^[A-Za-z0-9_-]{87}$",
  description: "An uncompressed P-256 point (65 bytes), base64url: new secrets are sealed to it",
});

/** Body of `PUT /v1/webhooks/:name/rotation`. */
export const PutWebhookRotation = Type.Object(
  {
    /** The receiver's public key: nobody but the holder of its private half can read a secret that a schedule has made. */
    sealTo: Point,
    everySeconds: Type.Optional(EverySeconds),
    graceSeconds: Type.Optional(SecretGrace),
    enabled: Type.Optional(Type.Boolean({ description: "Whether it runs by itself; `true` unless given" })),
  },
  closed,
);
export type PutWebhookRotation = Static<typeof PutWebhookRotation>;

/** One rotation of a webhook's secret. */
export const WebhookRotationRun = Type.Object(
  { id: WorkId, secretVersion: Type.Integer({ minimum: 2 }), by: By, at: Time },
  closed,
);
export type WebhookRotationRun = Static<typeof WebhookRotationRun>;

/** The rotation of a webhook's secret. */
export const WebhookRotation = Type.Object(
  {
    webhook: Name,
    sealTo: Point,
    everySeconds: EverySeconds,
    graceSeconds: SecretGrace,
    enabled: Type.Boolean(),
    version: Type.Integer({ minimum: 1 }),
    nextAt: Type.Optional(Time),
    /**
     * The newest secret that a rotation has made, sealed by HPKE to `sealTo` as a job's result: for the organization and
     * the run's id. Absent once the secret was replaced otherwise.
     */
    secret: Type.Optional(
      Type.Object(
        {
          run: WorkId,
          secretVersion: Type.Integer({ minimum: 2 }),
          enc: Type.String(),
          ciphertext: Type.String(),
        },
        closed,
      ),
    ),
    /** The last 50, newest first. */
    runs: Type.Array(WebhookRotationRun),
    createdAt: Time,
    updatedAt: Time,
  },
  closed,
);
export type WebhookRotation = Static<typeof WebhookRotation>;
