import { type Static, Type } from "typebox";
import { BrokerPolicy } from "../broker/policy.ts";
import { OrgId } from "../org.ts";
import { DestinationPolicy, METHODS } from "./destination.ts";

const closed = { additionalProperties: false };
export const Base64 = Type.String({ pattern: "^[A-Za-z0-9+/]*={0,2}$", maxLength: 1_400_000 });
const Base64Url = Type.String({ pattern: "^[A-Za-z0-9_-]*$", maxLength: 120_000 });

/** `j` and 26 characters of a–z2–7, of which the first ten encode the time: ids sort by age. */
export const WorkId = Type.String({ pattern: "^j[a-z2-7]{26}$", description: "A job's id" });
export const SealingKeyId = Type.String({ pattern: "^k[a-z2-7]{15}$", description: "A sealing key's id" });
/** A name in the intake's API. A name with `@` in a message is the platform's own and never a credential's. */
export const Name = Type.String({ pattern: "^[a-z0-9][a-z0-9-]{0,62}$" });
const MessageName = Type.String({ pattern: "^@?[a-z0-9][a-z0-9/-]{0,80}$" });

/** A value that a client has sealed to an organization's key by HPKE; base64url. See envelope/sealing.ts. */
export const SealedValue = Type.Object(
  { key: SealingKeyId, enc: Base64Url, ciphertext: Base64Url, commitment: Base64Url },
  closed,
);
export type SealedValue = Static<typeof SealedValue>;

/** A credential as the store has it: an envelope, or sealed by the client together with the wrapped private key. */
export const Material = Type.Union([
  Type.Object({ envelope: Base64 }, closed),
  Type.Object({ sealed: SealedValue, privateKey: Base64 }, closed),
]);
export type Material = Static<typeof Material>;

/** A request to a destination. A message carries it as an envelope of its JSON, whose context names the job. */
export const DestinationRequest = Type.Object(
  {
    method: Type.Enum([...METHODS]),
    path: Type.String({ pattern: "^/", maxLength: 4096, description: "Path and query" }),
    headers: Type.Optional(
      Type.Record(
        Type.String({ pattern: "^[A-Za-z][A-Za-z0-9-]{0,63}$" }),
        Type.String({ maxLength: 4096 }),
        closed,
      ),
    ),
    body: Type.Optional(Type.String({ maxLength: 350_000, description: "base64" })),
  },
  closed,
);
export type DestinationRequest = Static<typeof DestinationRequest>;

const common = {
  job: WorkId,
  org: OrgId,
  /** Which attempt of the intake's this is, from 1; the same job has the same id in all of them. */
  attempt: Type.Integer({ minimum: 1 }),
  /** Seconds since 1970, after which the job must not start. */
  notAfter: Type.Integer(),
};
const use = {
  ...common,
  credential: MessageName,
  version: Type.Integer({ minimum: 1 }),
  policy: DestinationPolicy,
};

/** What the queue of kind `integration` carries. */
export const IntegrationMessage = Type.Union([
  Type.Object(
    {
      ...use,
      type: Type.Literal("request"),
      material: Material,
      /** The envelope of a {@link DestinationRequest}. */
      request: Base64,
      /** An uncompressed P-256 point to which the answer is sealed. */
      sealResultTo: Type.Optional(Base64Url),
    },
    closed,
  ),
  Type.Object({ ...common, type: Type.Literal("make-sealing-key"), key: SealingKeyId }, closed),
  /** Opens a credential and seals it anew, by the key provider's current key. */
  Type.Object({ ...use, type: Type.Literal("rewrap"), material: Material }, closed),
]);
export type IntegrationMessage = Static<typeof IntegrationMessage>;

const Secrets = Type.Array(
  Type.Object({ version: Type.Integer({ minimum: 1 }), material: Material }, closed),
  { minItems: 1, maxItems: 2 },
);

/** What the queue of kind `webhook` carries. */
export const WebhookMessage = Type.Union([
  Type.Object(
    {
      ...common,
      type: Type.Literal("deliver"),
      credential: MessageName,
      policy: DestinationPolicy,
      /** The signing secrets that are valid now: one, or two during a rotation. */
      secrets: Secrets,
      /** The delivery's `webhook-id`, the same in all attempts. */
      webhookId: Type.String({ maxLength: 64 }),
      /** The envelope of a {@link DestinationRequest}, whose body is signed; version is the newest secret's. */
      request: Base64,
    },
    closed,
  ),
  /** Opens a webhook's secrets and seals them anew, by the key provider's current key. */
  Type.Object(
    {
      ...{ ...common, type: Type.Literal("rewrap"), credential: MessageName, policy: DestinationPolicy },
      secrets: Secrets,
    },
    closed,
  ),
]);
export type WebhookMessage = Static<typeof WebhookMessage>;
export type DeliverMessage = Extract<WebhookMessage, { type: "deliver" }>;

/**
 * What a worker does for a rotation: `make` a new value, `apply` it (if the provider does not make it itself), `check`
 * that it works, `revoke` another key.
 */
const ROTATION_PHASES = ["make", "apply", "check", "revoke"] as const;
export type RotationPhase = (typeof ROTATION_PHASES)[number];
/** A provider's own id of a key, which is no secret. */
const KeyAtProvider = Type.String({ minLength: 1, maxLength: 256, pattern: "^[\\x20-\\x7e]+$" });

/** What the queue of kind `broker` carries. */
export const BrokerMessage = Type.Union([
  Type.Object({ ...common, type: Type.Literal("make-sealing-key"), key: SealingKeyId }, closed),
  /** Opens a credential and seals it anew, by the key provider's current key. */
  Type.Object(
    {
      ...{ ...common, type: Type.Literal("rewrap"), credential: MessageName },
      ...{ version: Type.Integer({ minimum: 1 }), policy: BrokerPolicy, material: Material },
    },
    closed,
  ),
  /** One phase of a rotation by the policy's recipe. Each may come twice. */
  Type.Object(
    {
      ...{ ...common, type: Type.Literal("rotate"), phase: Type.Enum([...ROTATION_PHASES]) },
      ...{ credential: MessageName, version: Type.Integer({ minimum: 1 }), policy: BrokerPolicy },
      /** The current value. */
      material: Material,
      /** The new value, sealed for the next version; of `apply` and `check`. */
      pending: Type.Optional(Type.Object({ envelope: Base64 }, closed)),
      /** The value before the current one, which may revoke itself; of `revoke`. */
      retiring: Type.Optional(
        Type.Object({ version: Type.Integer({ minimum: 1 }), material: Material }, closed),
      ),
      /** The provider's id of the key to revoke; of `revoke`. */
      key: Type.Optional(KeyAtProvider),
      /** The same for all attempts to make one key; of `make`. */
      once: Type.Optional(WorkId),
      /** Seconds since 1970 since when keys may have been made whose value was lost; of `make`. */
      lostSince: Type.Optional(Type.Integer()),
    },
    closed,
  ),
]);
export type BrokerMessage = Static<typeof BrokerMessage>;
export type RotateMessage = Extract<BrokerMessage, { type: "rotate" }>;

/** What the queue of kind `feed` carries: nothing secret. */
export const FeedMessage = Type.Object(
  {
    ...common,
    type: Type.Literal("fetch"),
    url: Type.String({ maxLength: 2048 }),
    etag: Type.Optional(Type.String({ maxLength: 512 })),
    lastModified: Type.Optional(Type.String({ maxLength: 128 })),
  },
  closed,
);
export type FeedMessage = Static<typeof FeedMessage>;

/** Why a job failed. Those that `isTransient` may succeed in another attempt. */
export const FAILURES = {
  malformed: { isTransient: false },
  expired: { isTransient: false },
  not_openable: { isTransient: false },
  policy_mismatch: { isTransient: false },
  request_not_allowed: { isTransient: false },
  destination_refused: { isTransient: false },
  answer_too_large: { isTransient: false },
  answer_unusable: { isTransient: false },
  answer_not_scrubbable: { isTransient: false },
  provider_refused: { isTransient: false },
  unreachable: { isTransient: true },
  timeout: { isTransient: true },
  key_unavailable: { isTransient: true },
  internal: { isTransient: true },
} as const;
export type FailureClass = keyof typeof FAILURES;

export const FeedItem = Type.Object(
  {
    id: Type.String({ maxLength: 1024 }),
    title: Type.Optional(Type.String({ maxLength: 1024 })),
    url: Type.Optional(Type.String({ maxLength: 2048 })),
    publishedAt: Type.Optional(Type.String({ maxLength: 40 })),
    summary: Type.Optional(Type.String({ maxLength: 4096 })),
  },
  closed,
);
export type FeedItem = Static<typeof FeedItem>;

/** What went to a provider and came back; zero if nothing did. */
export const Traffic = Type.Object(
  {
    /** Of the last answer, if it was one of HTTP. */
    status: Type.Optional(Type.Integer({ minimum: 100, maximum: 599 })),
    sentBytes: Type.Integer({ minimum: 0 }),
    receivedBytes: Type.Integer({ minimum: 0 }),
  },
  closed,
);
export type Traffic = Static<typeof Traffic>;

/** What came of a job. */
export const Outcome = Type.Union([
  Type.Object(
    {
      state: Type.Literal("answered"),
      status: Type.Integer({ minimum: 100, maximum: 599 }),
      headers: Type.Array(Type.Tuple([Type.String(), Type.String()]), { maxItems: 100 }),
      body: Base64,
      /** How often the credential was found in the answer and removed. */
      scrubbed: Type.Integer({ minimum: 0 }),
    },
    closed,
  ),
  /** The JSON of the outcome `answered`, sealed to the caller's key. */
  Type.Object({ state: Type.Literal("sealed"), enc: Base64Url, ciphertext: Type.String() }, closed),
  Type.Object(
    {
      state: Type.Literal("failed"),
      failure: Type.Enum(Object.keys(FAILURES) as FailureClass[]),
      detail: Type.String({ maxLength: 1000 }),
      /** Of a rotation's phase. */
      traffic: Type.Optional(Traffic),
    },
    closed,
  ),
  Type.Object({ state: Type.Literal("key-made"), publicKey: Base64Url, privateKey: Base64 }, closed),
  Type.Object({ state: Type.Literal("rewrapped"), envelope: Base64 }, closed),
  /** A webhook's secrets, in the order of the message. */
  Type.Object(
    { state: Type.Literal("secrets-rewrapped"), envelopes: Type.Array(Base64, { minItems: 1, maxItems: 2 }) },
    closed,
  ),
  /** A phase of a rotation succeeded. */
  Type.Object(
    {
      state: Type.Literal("rotated"),
      /** The new value, sealed for the next version; of `make`. */
      envelope: Type.Optional(Base64),
      /** The provider's ids of the new key and of the current one; of `make`. */
      key: Type.Optional(KeyAtProvider),
      currentKey: Type.Optional(KeyAtProvider),
      traffic: Traffic,
    },
    closed,
  ),
  Type.Object(
    {
      state: Type.Literal("fetched"),
      notModified: Type.Boolean(),
      etag: Type.Optional(Type.String({ maxLength: 512 })),
      lastModified: Type.Optional(Type.String({ maxLength: 128 })),
      title: Type.Optional(Type.String({ maxLength: 1024 })),
      items: Type.Array(FeedItem, { maxItems: 500 }),
    },
    closed,
  ),
]);
export type Outcome = Static<typeof Outcome>;

/** What a worker sends on its results queue. */
export const ResultMessage = Type.Object(
  {
    job: WorkId,
    org: OrgId,
    attempt: Type.Integer({ minimum: 1 }),
    outcome: Outcome,
    startedAt: Type.String(),
    endedAt: Type.String(),
  },
  closed,
);
export type ResultMessage = Static<typeof ResultMessage>;
