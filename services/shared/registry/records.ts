import { type Static, Type } from "typebox";
import { ERROR_CODES } from "../errors.ts";
import { Issuer, OrgClaim, OrgId, OrgName } from "../org.ts";

const Time = Type.String({ description: "RFC 3339, UTC" });

export const OrgState = Type.Enum(["initializing", "ready", "failed", "deleting", "deleted", "quarantined"]);

/** An organization as the registry keeps it. It holds no secret: tokens by accessor, certificates by serial. */
export const OrgRecord = Type.Object(
  {
    id: OrgId,
    name: OrgName,
    claim: OrgClaim,
    issuer: Issuer,
    state: OrgState,
    /** The storage attempt in use, counted from 1. */
    attempt: Type.Integer({ minimum: 1 }),
    /** Vault's cluster id, read after it was initialized; a Vault with another one is not this org's. */
    clusterId: Type.Optional(Type.String()),
    /** `host:port` of the Vault's API. */
    listen: Type.Optional(Type.String()),
    unsealTokenAccessor: Type.Optional(Type.String()),
    /** An older token still to be revoked, once the instance is unsealed with the new one. */
    retiredTokenAccessors: Type.Array(Type.String()),
    certificateSerial: Type.Optional(Type.String()),
    certificateNotBefore: Type.Optional(Time),
    certificateNotAfter: Type.Optional(Time),
    /** Counters published in the instance spec. */
    restart: Type.Integer({ minimum: 0 }),
    reload: Type.Integer({ minimum: 0 }),
    /** Set before `sys/init` is called, with the attempt it was for. */
    initializingAttempt: Type.Optional(Type.Integer()),
    /** Recovery keys, each encrypted to a PGP key (base64), in the order of the PGP keys. */
    recoveryKeys: Type.Optional(Type.Array(Type.String())),
    unsealKeyAbandoned: Type.Optional(Type.Boolean()),
    createdAt: Time,
    readyAt: Type.Optional(Time),
    deletedAt: Type.Optional(Time),
    /** The last thing that went wrong with the instance or its upkeep, for operators. */
    lastError: Type.Optional(Type.Object({ at: Time, message: Type.String() })),
    /** Differences found between the Vault's configuration and what it should be. */
    drift: Type.Optional(Type.Array(Type.String())),
  },
  { additionalProperties: false },
);
export type OrgRecord = Static<typeof OrgRecord>;

export const StepState = Type.Enum(["pending", "running", "done", "failed", "undone"]);

/** A piece of work on an organization, as its callers see it. */
export const Job = Type.Object(
  {
    id: Type.String({ pattern: "^j[a-z2-7]{15}$" }),
    kind: Type.Enum(["create", "delete"]),
    org: OrgId,
    state: Type.Enum(["running", "undoing", "succeeded", "failed"]),
    steps: Type.Array(
      Type.Object(
        {
          name: Type.String(),
          state: StepState,
          startedAt: Type.Optional(Time),
          endedAt: Type.Optional(Time),
        },
        { additionalProperties: false },
      ),
    ),
    error: Type.Optional(
      Type.Object(
        { code: Type.Enum(ERROR_CODES), step: Type.String(), detail: Type.String(), retry: Type.Boolean() },
        { additionalProperties: false },
      ),
    ),
    createdAt: Time,
    endedAt: Type.Optional(Time),
  },
  { additionalProperties: false },
);
export type Job = Static<typeof Job>;
