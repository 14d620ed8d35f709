import { type Static, Type } from "typebox";
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

const common = {
  purpose: Type.Optional(
    Type.Enum(["integration"], { description: "The kind of worker that may open it; `integration`" }),
  ),
  destination: DestinationPolicy,
  level: Type.Optional(UseLevel),
};

/**
 * Body of `PUT /v1/credentials/:name`: the value in clear, over TLS, or sealed by the client. `level` is `writer` unless
 * given. The encryption context of a sealed value is the organization, the credential's name, `version` in decimal,
 * the purpose and `policyHash(destination)`.
 */
export const PutCredential = Type.Union([
  Type.Object(
    { value: Type.String({ description: `${VALUE_BYTES.min} bytes to 64 KiB of text` }), ...common },
    closed,
  ),
  Type.Object(
    {
      sealed: SealedValue,
      version: Type.Integer({
        minimum: 1,
        description:
          "The version that it was sealed for: `nextVersion` of `GET /v1/sealing-keys?credential=NAME`",
      }),
      ...common,
    },
    closed,
  ),
]);
export type PutCredential = Static<typeof PutCredential>;

export const SealedBy = Type.Enum(["platform", "client"]);

/** A credential, without its value, which nothing returns. */
export const Credential = Type.Object(
  {
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
        { additionalProperties: false },
      ),
    ),
    purpose: Type.Enum(["integration"]),
    destination: DestinationPolicy,
    level: UseLevel,
    disabled: Type.Boolean(),
    createdAt: Time,
    updatedAt: Time,
    /** Accurate to a minute. */
    lastUsedAt: Type.Optional(Time),
  },
  closed,
);
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

/** The query of `GET /v1/sealing-keys`. */
export const SealingKeysQuery = Type.Object(
  {
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
