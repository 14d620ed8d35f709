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
        description: "`iss` of a configured issuer; the first by default",
      }),
    ),
    recoveryPgpKeys: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 16_384 }), {
        minItems: 3,
        maxItems: 10,
        description: "PGP public keys, armored or base64; each gets one recovery key, a majority is needed",
      }),
    ),
  },
  { additionalProperties: false },
);
export type CreateOrg = Static<typeof CreateOrg>;

/** What callers see of an organization's record. */
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
    /** Vault's cluster id, read after it was initialized; a Vault with another one is not this org's. */
    clusterId: Type.Optional(Type.String()),
    /** `host:port` of the Vault's API. */
    listen: Type.Optional(Type.String()),
    certificateNotAfter: Type.Optional(Time),
    /** Recovery keys, each encrypted to a PGP key (base64), in the order of the PGP keys. */
    recoveryKeys: Type.Optional(Type.Array(Type.String())),
    unsealKeyAbandoned: Type.Optional(Type.Boolean()),
    /** Whether its admins may make Vault tokens for machines; not unless an operator says so. */
    machineTokens: Type.Optional(Type.Boolean()),
    createdAt: Time,
    readyAt: Type.Optional(Time),
    /** When it was first seen that one of its people had used the Vault. */
    firstLoginAt: Type.Optional(Time),
    deletedAt: Type.Optional(Time),
    /** The last thing that went wrong with the instance or its upkeep, for operators. */
    lastError: Type.Optional(Type.Object({ at: Time, message: Type.String() })),
    /** Differences found between the Vault's configuration and what it should be. */
    drift: Type.Optional(Type.Array(Type.String())),
  },
  { additionalProperties: false },
);

/** An organization as callers see it, with its instance. */
export const OrgView = Type.Object(
  {
    ...OrgPublic.properties,
    issuer: Type.String({ description: "`iss` of its tokens" }),
    repair: Type.Optional(
      Type.String({ description: "The command that ends the drift; it takes an operator's approval" }),
    ),
    instance: Type.Optional(InstanceStatus),
  },
  { additionalProperties: false },
);
export type OrgView = Static<typeof OrgView>;

/** One page of `GET /v1/orgs`, ordered by id; `next` is the cursor of the page after it. */
export const OrgPage = Type.Object(
  { orgs: Type.Array(OrgView), next: Type.Optional(Type.String()) },
  { additionalProperties: false },
);
export type OrgPage = Static<typeof OrgPage>;
