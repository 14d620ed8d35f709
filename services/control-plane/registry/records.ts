import { type Static, Type } from "typebox";
import { Job, JobEvent, JobId } from "../../shared/api/jobs.ts";
import { OrgPublic } from "../../shared/api/orgs.ts";
import { Time } from "../../shared/api/time.ts";
import { Revocation } from "../../shared/front/published/revocations.ts";
import { Issuer, newOrgId, OrgClaim, OrgId, OrgName } from "../../shared/org.ts";
import { KeyDigest } from "../../shared/server-key.ts";

/** A new job id: `j` and 15 characters of a–z2–7. */
export const newJobId = (): string => `j${newOrgId().slice(1)}`;

/**
 * An organization as the registry keeps it: what callers see of it, and what only the control plane needs. It holds
 * no secret: tokens by accessor, certificates by serial.
 */
export const OrgRecord = Type.Object(
  {
    ...OrgPublic.properties,
    issuer: Issuer,
    /** Keys, in the index of claims, of those it had before an operator gave it another. */
    formerClaims: Type.Optional(Type.Array(Type.String({ pattern: "^[0-9a-f]{64}$" }))),
    /** What the operator signed who last gave it to another owner, for gateways. */
    statement: Type.Optional(Type.String()),
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
  },
  { additionalProperties: false },
);
export type OrgRecord = Static<typeof OrgRecord>;

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
