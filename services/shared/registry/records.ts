import { type Static, Type } from "typebox";
import { ERROR_CODES } from "../errors.ts";
import { Issuer, newOrgId, OrgClaim, OrgId, OrgName } from "../org.ts";
import { Revocation } from "../revocations/revocations.ts";
import { KeyDigest } from "../server-key.ts";

const Time = Type.String({ description: "RFC 3339, UTC" });

export const JobId = Type.String({ pattern: "^j[a-z2-7]{15}$", description: "A job's id" });

/** A new job id: `j` and 15 characters of a–z2–7. */
export const newJobId = (): string => `j${newOrgId().slice(1)}`;

export const OrgState = Type.Enum(["initializing", "ready", "failed", "deleting", "deleted", "quarantined"]);

/** An organization as the registry keeps it. It holds no secret: tokens by accessor, certificates by serial. */
export const OrgRecord = Type.Object(
  {
    id: OrgId,
    name: OrgName,
    claim: OrgClaim,
    issuer: Issuer,
    /** Keys, in the index of claims, of those it had before an operator gave it another. */
    formerClaims: Type.Optional(Type.Array(Type.String({ pattern: "^[0-9a-f]{64}$" }))),
    /** What the operator signed who last gave it to another owner, for gateways. */
    statement: Type.Optional(Type.String()),
    state: OrgState,
    /** The last job that worked on it. */
    job: JobId,
    /** The storage attempt in use, counted from 1. */
    attempt: Type.Integer({ minimum: 1 }),
    /** Vault's cluster id, read after it was initialized; a Vault with another one is not this org's. */
    clusterId: Type.Optional(Type.String()),
    /** `host:port` of the Vault's API. */
    listen: Type.Optional(Type.String()),
    unsealTokenAccessor: Type.Optional(Type.String()),
    /** A token that was minted and is on its way into the parameter store. */
    pendingTokenAccessor: Type.Optional(Type.String()),
    /** Older tokens still to be revoked, once the instance is unsealed with the new one. */
    retiredTokenAccessors: Type.Array(Type.String()),
    certificateSerial: Type.Optional(Type.String()),
    /** Set before a certificate is issued: while it is there, one may exist whose serial is not recorded. */
    certificateIssuing: Type.Optional(Type.Boolean()),
    /** A certificate that was issued and is on its way into the parameter store. */
    pendingCertificateSerial: Type.Optional(Type.String()),
    certificateNotBefore: Type.Optional(Time),
    certificateNotAfter: Type.Optional(Time),
    /**
     * Public side of the key that its Vault keeps for life: request (PEM) and digest. Absent until its next
     * certificate if it was onboarded before keys were kept.
     */
    serverKey: Type.Optional(
      Type.Object({ request: Type.String(), digest: KeyDigest }, { additionalProperties: false }),
    ),
    /** Older certificates still to be revoked, once the instance has loaded the new one. */
    retiredCertificateSerials: Type.Array(Type.String()),
    /** Counters published in the instance spec. */
    restart: Type.Integer({ minimum: 0 }),
    reload: Type.Integer({ minimum: 0 }),
    /** SHA-256 of the settings that the process was last told to start with. */
    settingsDigest: Type.Optional(Type.String()),
    /** Set before `sys/init` is called, with the attempt it was for. */
    initializingAttempt: Type.Optional(Type.Integer()),
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
export type OrgRecord = Static<typeof OrgRecord>;

export const StepState = Type.Enum(["pending", "running", "done", "failed", "undone"]);
export const JobState = Type.Enum(["running", "undoing", "succeeded", "failed"]);

/** A piece of work on an organization, as its callers see it. */
export const Job = Type.Object(
  {
    id: JobId,
    kind: Type.Enum(["create", "delete"]),
    org: OrgId,
    state: JobState,
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

/** One change of a job, numbered from 1: of a step where `step` is there, else of the job itself. */
export const JobEvent = Type.Object(
  {
    sequence: Type.Integer({ minimum: 1 }),
    at: Time,
    step: Type.Optional(Type.String()),
    state: Type.Union([StepState, JobState]),
  },
  { additionalProperties: false },
);
export type JobEvent = Static<typeof JobEvent>;

/** A job as the registry keeps it: what callers see, what was asked for, and every change so far. */
export const JobRecord = Type.Object(
  {
    ...Job.properties,
    request: Type.Optional(
      Type.Object(
        {
          name: OrgName,
          claim: OrgClaim,
          issuer: Issuer,
          /** Base64 of the binary public keys, one for each recovery share. */
          recoveryPgpKeys: Type.Array(Type.String()),
        },
        { additionalProperties: false },
      ),
    ),
    events: Type.Array(JobEvent),
  },
  { additionalProperties: false },
);
export type JobRecord = Static<typeof JobRecord>;

/** A name or a claim that is taken, by which organization, and the job that took it. */
export const Reservation = Type.Object({ org: OrgId, job: JobId }, { additionalProperties: false });
export type Reservation = Static<typeof Reservation>;

/** What an Idempotency-Key was used for. */
export const Idempotency = Type.Object(
  { body: Type.String({ description: "SHA-256 of the request's body" }), job: JobId },
  { additionalProperties: false },
);
export type Idempotency = Static<typeof Idempotency>;

/** The directory as it was last published. */
export const Publication = Type.Object(
  { version: Type.Integer({ minimum: 1 }), jws: Type.String() },
  { additionalProperties: false },
);
export type Publication = Static<typeof Publication>;

/** The revocations of an issuer's claim, the newest last. */
export const Revocations = Type.Object(
  { issuer: Issuer.properties.issuer, claim: OrgClaim, revocations: Type.Array(Revocation) },
  { additionalProperties: false },
);
export type Revocations = Static<typeof Revocations>;

/** What the published revocation list is made of: its version is this record's own. */
export const RevocationIndex = Type.Object(
  {
    maxTokenLifetimeSeconds: Type.Integer({ minimum: 1 }),
    /** By claim key, the version of its {@link Revocations}. */
    claims: Type.Record(Type.String({ pattern: "^[0-9a-f]{64}$" }), Type.Integer({ minimum: 1 })),
  },
  { additionalProperties: false },
);
export type RevocationIndex = Static<typeof RevocationIndex>;
