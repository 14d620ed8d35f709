import { StrongroomError } from "../../shared/errors.ts";
import type { InstanceStatus } from "../../shared/instance-spec.ts";
import type { OrgRecord } from "../../shared/registry/records.ts";
import { sha256 } from "../../shared/registry/registry.ts";
import { sealStatus } from "../../shared/vault/init.ts";
import { instanceSpec, orgClient, orgRecord, type Platform } from "../platform.ts";
import { until } from "./until.ts";
import type { Step } from "./workflow.ts";

const STARTED_WITHIN_MS = 30_000;
const ANSWERS_WITHIN_MS = 10_000;
const LOOK_TIMEOUT_MS = 2_000;
const ADDRESS_TRIES = 3;

/** The organization's Vault as a running process that answers, on storage of this attempt. */
export const startInstance = (platform: Platform): Step => ({
  name: "start-instance",
  async do({ org }) {
    await launch(platform, org);
  },
  async undo({ org }) {
    const { runtime } = platform;
    const { attempt } = await orgRecord(platform, org);
    await runtime.remove(org);
    await runtime.setAside(org, attempt, "onboarding was undone");
  },
});

/**
 * Publishes the organization's instance and waits until its Vault answers; gives the record with its
 * address. Launching what runs changes nothing. Another address is taken where another process has it.
 */
export async function launch(platform: Platform, org: string): Promise<OrgRecord> {
  const { runtime } = platform;
  let record = await orgRecord(platform, org);
  if (record.listen === undefined) record = await moveTo(platform, org, await runtime.allocate(org));
  for (let tries = 1; ; tries++) {
    await runtime.publish(instanceSpec(platform, record));
    const status = await runtime.waitFor(org, (status) => hasTried(status, record), STARTED_WITHIN_MS);
    if (status.state === "running") break;
    if (!isAddressTaken(status) || tries === ADDRESS_TRIES) {
      throw new StrongroomError(
        "step_failed",
        `The organization's Vault does not start: ${status.lastError}`,
      );
    }
    record = await moveTo(platform, org, await runtime.allocate(org));
  }
  const client = orgClient(platform, record, undefined, LOOK_TIMEOUT_MS);
  await until("answer", ANSWERS_WITHIN_MS, () => sealStatus(client));
  return record;
}

/** Whether a status is of what the record says should run, and says whether it does. */
const hasTried = (status: InstanceStatus, record: OrgRecord) =>
  status.attempt === record.attempt &&
  status.restart === record.restart &&
  (status.state === "running" || status.state === "backoff");

/** Whether an instance does not run because another process has its port. */
export const isAddressTaken = ({ state, lastError }: InstanceStatus): boolean =>
  state === "backoff" && /address already in use/.test(lastError ?? "");

/** Records another address; the instance takes it when it is restarted. */
export async function moveTo(platform: Platform, org: string, listen: string): Promise<OrgRecord> {
  return platform.registry.orgs.update(org, (record) => restarted(platform, { ...record, listen }));
}

/** The record of an instance that has to be restarted, to take the settings it has now. */
export function restarted(platform: Platform, record: OrgRecord): OrgRecord {
  return { ...record, restart: record.restart + 1, settingsDigest: settingsDigest(platform, record) };
}

/** Tells whether a process was started with the settings that it would be started with now. */
export function settingsDigest(platform: Platform, record: OrgRecord): string {
  const { config, environment, secrets } = instanceSpec(platform, record);
  return sha256(JSON.stringify([config, environment, secrets]));
}
