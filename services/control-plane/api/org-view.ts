import { Value } from "typebox/value";
import { OrgView } from "../../shared/api/orgs.ts";
import type { InstanceStatus } from "../../shared/instance-spec.ts";
import { KEY_MISSING, KEY_TO_REMOVE } from "../../shared/vault/jwt-validation-keys.ts";
import type { OrgRecord } from "../registry/records.ts";

/** The command with which an operator repairs an organization's drift. */
export function repairCommand(org: string, drift: string[]): string {
  const isKeys = drift.every((each) => each.endsWith(KEY_MISSING) || each.endsWith(KEY_TO_REMOVE));
  if (!isKeys) return `strongroom org repair ${org}`;
  const isMissing = drift.some((each) => each.endsWith(KEY_MISSING));
  return `strongroom issuer rotate --org ${org}${isMissing ? "" : " --finish"}`;
}

/** The API's view of a record and of its instance's status. */
export function orgView(record: OrgRecord, instance: InstanceStatus | undefined): OrgView {
  const view = {
    ...structuredClone(record),
    issuer: record.issuer.issuer,
    ...(record.drift && { repair: repairCommand(record.id, record.drift) }),
    ...(instance && { instance }),
  };
  return Value.Clean(OrgView, view) as OrgView;
}
