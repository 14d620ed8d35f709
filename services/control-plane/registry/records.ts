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
 * An organization's record: the public part, which the API shows, and the control plane's own part. It contains no
 * secret: tokens by accessor, certificates by serial.
 */
export const OrgRecord = Type.Object(
  {
    ...OrgPublic.properties,
    issuer: Issuer,
    /** Keys, in the index of claims, of its claims before an operator reassigned it. */
    formerClaims: Type.Optional(Type.Array(Type.String({ pattern: "^[0-9a-f]{64}$" }))),
    /** The statement for gateways, signed by the operator who last reassigned it. */
    statement: Type.Optional(Type.String()),
    unsealTokenAccessor: Type.Optional(Type.String()),
    /** A minted token that may not be in the parameter store yet. */
    pendingTokenAccessor: Type.Optional(Type.String()),
    /** Replaced tokens to revoke once the instance is unsealed with the new one. */
    retiredTokenAccessors: Type.Array(Type.String()),
    certificateSerial: Type.Optional(Type.String()),
    /** Set before a certificate is issued: while set, there may be a certificate whose serial is not recorded. */
    certificateIssuing: Type.Optional(Type.Boolean()),
    /** An issued certificate that may not be in the parameter store yet. */
    pendingCertificateSerial: Type.Optional(Type.String()),
    certificateNotBefore: Type.Optional(Time),
    /**
     * Public part of its Vault's permanent key: certificate signing request (PEM) and digest. Absent until its next
     * certificate if it was onboarded before keys were recorded.
     */
    serverKey: Type.Optional(
      Type.Object({ request: Type.String(), digest: KeyDigest }, { additionalProperties: false }),
    ),
    /** Replaced certificates to revoke once the instance has loaded the new one. */
    retiredCertificateSerials: Type.Array(Type.String()),
    /** Counters published in the instance spec. */
    restart: Type.Integer({ minimum: 0 }),
    reload: Type.Integer({ minimum: 0 }),
    /** SHA-256 of the settings of the last published start. */
    settingsDigest: Type.Optional(Type.String()),
    /** The attempt for which `sys/init` is called, set before the call. */
    initializingAttempt: Type.Optional(Type.Integer()),
  },
  { additionalProperties: false },
);
export type OrgRecord = Static<typeof OrgRecord>;

/** A job's record: the part that the API shows, its request, and every change so far. */
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

/** A reserved name or claim: the organization that has it, and the job that reserved it. */
export const Reservation = Type.Object({ org: OrgId, job: JobId }, { additionalProperties: false });
export type Reservation = Static<typeof Reservation>;

/** The request and the job of an Idempotency-Key. */
export const Idempotency = Type.Object(
  { body: Type.String({ description: "SHA-256 of the request's body" }), job: JobId },
  { additionalProperties: false },
);
export type Idempotency = Static<typeof Idempotency>;

/** The last published directory. */
export const Publication = Type.Object(
  { version: Type.Integer({ minimum: 1 }), jws: Type.String() },
  { additionalProperties: false },
);
export type Publication = Static<typeof Publication>;

/** The revocations of an issuer's claim, newest last. */
export const Revocations = Type.Object(
  { issuer: Issuer.properties.issuer, claim: OrgClaim, revocations: Type.Array(Revocation) },
  { additionalProperties: false },
);
export type Revocations = Static<typeof Revocations>;

/** The content of the published revocation list, whose version is this record's version. */
export const RevocationIndex = Type.Object(
  {
    maxTokenLifetimeSeconds: Type.Integer({ minimum: 1 }),
    /** Versions of {@link Revocations} by claim key. */
    claims: Type.Record(Type.String({ pattern: "^[0-9a-f]{64}$" }), Type.Integer({ minimum: 1 })),
  },
  { additionalProperties: false },
);
export type RevocationIndex = Static<typeof RevocationIndex>;
