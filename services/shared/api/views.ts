import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { OrgRecord } from "../../control-plane/registry/records.ts";
import { InstanceStatus } from "../instance-spec.ts";
import { OrgClaim, OrgName } from "../org.ts";
import { KEY_MISSING, KEY_TO_REMOVE } from "../vault/issuer-keys.ts";

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

const { id, name, claim, state, job, attempt, clusterId, listen, certificateNotAfter } = OrgRecord.properties;
const {
  recoveryKeys,
  unsealKeyAbandoned,
  machineTokens,
  createdAt,
  readyAt,
  firstLoginAt,
  deletedAt,
  lastError,
  drift,
} = OrgRecord.properties;

/** An organization as callers see it: its record without accessors, serials and counters, and its instance. */
export const OrgView = Type.Object(
  {
    id,
    name,
    claim,
    issuer: Type.String({ description: "`iss` of its tokens" }),
    state,
    job,
    attempt,
    clusterId,
    listen,
    certificateNotAfter,
    recoveryKeys,
    unsealKeyAbandoned,
    machineTokens,
    createdAt,
    readyAt,
    firstLoginAt,
    deletedAt,
    lastError,
    drift,
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

/** What an operator runs to bring an organization's Vault back to what it should be. */
export function repairCommand(org: string, drift: string[]): string {
  const isKeys = drift.every((each) => each.endsWith(KEY_MISSING) || each.endsWith(KEY_TO_REMOVE));
  if (!isKeys) return `strongroom org repair ${org}`;
  const isMissing = drift.some((each) => each.endsWith(KEY_MISSING));
  return `strongroom issuer rotate --org ${org}${isMissing ? "" : " --finish"}`;
}

/** The view of a record, with what its runtime reports. */
export function orgView(record: OrgRecord, instance: InstanceStatus | undefined): OrgView {
  const view = {
    ...structuredClone(record),
    issuer: record.issuer.issuer,
    ...(record.drift && { repair: repairCommand(record.id, record.drift) }),
    ...(instance && { instance }),
  };
  return Value.Clean(OrgView, view) as OrgView;
}
