import type { IntegrationMessage } from "../../shared/work/messages.ts";
import type { UsableCredential } from "../credentials/load.ts";
import type { IntegrationRecord } from "../credentials/records.ts";
import type { JobRecord, UseWork } from "../jobs/records.ts";

/** The message of a use. */
export function useMessage(
  { id, org, attempt, notAfter, work }: JobRecord<UseWork>,
  { record, material }: UsableCredential<IntegrationRecord>,
  request: string,
): string {
  const message: IntegrationMessage = {
    ...{ type: "request", job: id, org, attempt, notAfter, material, request },
    ...{ credential: record.name, version: record.version, policy: record.destination },
    ...(work.sealResultTo !== undefined && { sealResultTo: work.sealResultTo }),
  };
  return JSON.stringify(message);
}
