import { type Static, Type } from "typebox";
import { BrokerPolicy } from "../broker/policy.ts";
import { LEVELS, OrgId } from "../org.ts";
import { DestinationPolicy } from "../work/destination.ts";
import { Name, SealedValue, SealingKeyId } from "../work/messages.ts";
import { Next } from "./pages.ts";
import { Time } from "./time.ts";

const closed = { additionalProperties: false };

/** The length of a credential's value in bytes of UTF-8: one too short cannot be found in an answer. */
export const VALUE_BYTES = { min: 8, max: 64 * 1024 };

/** Who may use a credential: callers of this level and above. */
export const UseLevel = Type.Enum([...LEVELS], { description: "The lowest level that may use it" });

const reason = Type.Optional(
  Type.String({
    ...{ minLength: 10, maxLength: 500, pattern: "^[^\\x00-\\x1f\\x7f]*$" },
    description: "Why a key is stored though its provider offers delegation; it stands in the receipts",
  }),
);

/** What an integration's credential is put with. `level` is `writer` unless given. */
const integration = {
  purpose: Type.Optional(
    Type.Literal("integration", { description: "Jobs use it, by workers of this kind; the default" }),
  ),
  destination: DestinationPolicy,
  level: Type.Optional(UseLevel),
  reason,
};
/** What a credential of the broker is put with: its rules say who may use it. */
const broker = {
  purpose: Type.Literal("broker", { description: "The broker uses it: `/v1/use/NAME/…`" }),
  destination: BrokerPolicy,
  reason,
};
const inClear = { value: Type.String({ description: `${VALUE_BYTES.min} bytes to 64 KiB of text` }) };
const sealed = {
  sealed: SealedValue,
  version: Type.Integer({
    minimum: 1,
    description:
      "The version that it was sealed for: `nextVersion` of `GET /v1/sealing-keys?credential=NAME`",
  }),
};

const PutIntegration = Type.Union([
  Type.Object({ ...inClear, ...integration }, closed),
  Type.Object({ ...sealed, ...integration }, closed),
]);
export type PutIntegration = Static<typeof PutIntegration>;
const PutBroker = Type.Union([
  Type.Object({ ...inClear, ...broker }, closed),
  Type.Object({ ...sealed, ...broker }, closed),
]);
export type PutBroker = Static<typeof PutBroker>;

/**
 * Body of `PUT /v1/credentials/:name`: the value in clear, over TLS, or sealed by the client. The encryption context of a
 * sealed value is the organization, the credential's name, `version` in decimal, the purpose and the hash of the
 * destination: `policyHash`, or `brokerPolicyHash` for the broker.
 */
export const PutCredential = Type.Unsafe<PutIntegration | PutBroker>({
  // Not one union: its errors would be those of both purposes.
  if: { type: "object", properties: { purpose: { const: "broker" } }, required: ["purpose"] },
  // biome-ignore lint/suspicious/noThenProperty: JSON Schema's own keyword
  ...{ then: PutBroker, else: PutIntegration },
});
export type PutCredential = Static<typeof PutCredential>;

/** `broker`: its provider has replaced the value, once or more since the version before, which a member has put. */
export const SealedBy = Type.Enum(["platform", "client", "broker"]);

const stored = {
  name: Name,
  /** The newest version, the only one whose value is kept. */
  version: Type.Integer({ minimum: 1 }),
  /** The last 20 versions, newest first. */
  versions: Type.Array(
    Type.Object(
      {
        version: Type.Integer({ minimum: 1 }),
        createdAt: Time,
        /** Who sealed the value that was put. */
        sealedBy: SealedBy,
        /** When a worker last sealed it anew, by the key provider's current key. */
        rewrappedAt: Type.Optional(Time),
      },
      closed,
    ),
  ),
  disabled: Type.Boolean(),
  createdAt: Time,
  updatedAt: Time,
  /** Accurate to a minute. */
  lastUsedAt: Type.Optional(Time),
};

export const IntegrationCredential = Type.Object(
  { ...stored, purpose: Type.Literal("integration"), destination: DestinationPolicy, level: UseLevel },
  closed,
);
export type IntegrationCredential = Static<typeof IntegrationCredential>;

export const BrokerCredential = Type.Object(
  {
    ...{ ...stored, purpose: Type.Literal("broker"), destination: BrokerPolicy },
    connection: Type.Optional(Type.Literal(true, { description: "A connection of this name has made it" })),
  },
  closed,
);
export type BrokerCredential = Static<typeof BrokerCredential>;

/** A credential, without its value, which nothing returns. */
export const Credential = Type.Union([IntegrationCredential, BrokerCredential]);
export type Credential = Static<typeof Credential>;

/** One page of `GET /v1/credentials`, ordered by name. */
export const CredentialPage = Type.Object({ credentials: Type.Array(Credential), next: Next }, closed);
export type CredentialPage = Static<typeof CredentialPage>;

/** A public key of an organization, to which clients seal. */
export const SealingKey = Type.Object(
  {
    id: SealingKeyId,
    /** An uncompressed P-256 point (65 bytes), base64url. */
    publicKey: Type.String(),
    /** `current`: seal to it. `old`: what was sealed to it still opens; new values are refused. */
    state: Type.Enum(["current", "old"]),
    createdAt: Time,
  },
  closed,
);
export type SealingKey = Static<typeof SealingKey>;

/** The purposes that clients can seal for; each has keys of its own, which its kind of worker makes. */
export const SEALED_PURPOSES = ["integration", "broker"] as const;
export type SealedPurpose = (typeof SEALED_PURPOSES)[number];
const ofPurpose = {
  purpose: Type.Optional(
    Type.Enum([...SEALED_PURPOSES], { description: "What the keys are for; `integration` unless given" }),
  ),
};

/** The query of `POST /v1/sealing-keys/rotate`. */
export const RotateSealingKeyQuery = Type.Object(ofPurpose, closed);

/** The query of `GET /v1/sealing-keys`. */
export const SealingKeysQuery = Type.Object(
  {
    ...ofPurpose,
    credential: Type.Optional(
      Type.String({ ...Name, description: "The credential to seal: the answer then has its next version" }),
    ),
  },
  closed,
);

/** `GET /v1/sealing-keys`: the organization's id, which the encryption context needs, and its keys, the current first. */
export const SealingKeys = Type.Object(
  {
    org: OrgId,
    keys: Type.Array(SealingKey),
    /** The version for which the named credential's value must be sealed. */
    nextVersion: Type.Optional(Type.Integer({ minimum: 1 })),
  },
  closed,
);
export type SealingKeys = Static<typeof SealingKeys>;
