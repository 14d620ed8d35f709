import { type Static, Type } from "typebox";
import { InstanceStatus } from "../instance-spec.ts";
import { OrgClaim, OrgId, OrgName } from "../org.ts";
import { JobId } from "./jobs.ts";
import { OrgState } from "./org-states.ts";
import { Time } from "./time.ts";

/** Body of `POST /v1/orgs`. */
export const CreateOrg = Type.Object(
  {
    name: OrgName,
    claim: OrgClaim,
    issuer: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 512,
        description: "`iss` of a configured issuer (default: the first)",
      }),
    ),
    recoveryPgpKeys: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 16_384 }), {
        minItems: 3,
        maxItems: 10,
        description:
          "PGP public keys, armored or base64; one recovery key is encrypted to each, and recovery requires a majority",
      }),
    ),
  },
  { additionalProperties: false },
);
export type CreateOrg = Static<typeof CreateOrg>;

/** The public part of an organization's record. */
export const OrgPublic = Type.Object(
  {
    id: OrgId,
    name: OrgName,
    claim: OrgClaim,
    state: OrgState,
    /** The last job that worked on it. */
    job: JobId,
    /** The storage attempt in use, counted from 1. */
    attempt: Type.Integer({ minimum: 1 }),
    /** Vault's cluster id, read after initialization; a Vault with another id is not this organization's. */
    clusterId: Type.Optional(Type.String()),
    /** `host:port` of the Vault's API. */
    listen: Type.Optional(Type.String()),
    certificateNotAfter: Type.Optional(Time),
    /** Recovery keys, each encrypted to a PGP key (base64), in the order of the PGP keys. */
    recoveryKeys: Type.Optional(Type.Array(Type.String())),
    unsealKeyAbandoned: Type.Optional(Type.Boolean()),
    /** Whether its admins may create Vault tokens for machines; an operator must enable it. */
    machineTokens: Type.Optional(Type.Boolean()),
    createdAt: Time,
    readyAt: Type.Optional(Time),
    /** The time at which a login of one of its members was first observed. */
    firstLoginAt: Type.Optional(Time),
    deletedAt: Type.Optional(Time),
    /** The last error of the instance or its reconcile, for operators. */
    lastError: Type.Optional(Type.Object({ at: Time, message: Type.String() })),
    /** Differences between the Vault's actual and desired configuration. */
    drift: Type.Optional(Type.Array(Type.String())),
  },
  { additionalProperties: false },
);

/** The API's view of an organization, with its instance. */
export const OrgView = Type.Object(
  {
    ...OrgPublic.properties,
    issuer: Type.String({ description: "`iss` of the organization's tokens" }),
    repair: Type.Optional(
      Type.String({ description: "The command that repairs the drift; it requires an operator's approval" }),
    ),
    instance: Type.Optional(InstanceStatus),
  },
  { additionalProperties: false },
);
export type OrgView = Static<typeof OrgView>;

/** One page of `GET /v1/orgs`, ordered by id; `next` is the cursor of the next page. */
export const OrgPage = Type.Object(
  { orgs: Type.Array(OrgView), next: Type.Optional(Type.String()) },
  { additionalProperties: false },
);
export type OrgPage = Static<typeof OrgPage>;
