import { StrongroomError } from "../../../shared/errors.ts";
import type { InstanceStatus } from "../../../shared/instance-spec.ts";
import { sealStatus } from "../../../shared/vault/init.ts";
import { instanceSpec, orgClient, orgRecord, type Platform } from "../../dependencies.ts";
import type { Step } from "../../jobs/workflow.ts";
import type { OrgRecord } from "../../registry/records.ts";
import { sha256 } from "../../registry/registry.ts";
import { until } from "../until.ts";

const LOOK_TIMEOUT_MS = 2_000;
const ADDRESS_TRIES = 3;

/** Starts the organization's Vault on this attempt's storage and waits until it answers. */
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
 * Starts the organization's instance unless it already runs, and waits until its Vault answers. Returns the record
 * with its address.
 */
export async function launch(platform: Platform, org: string): Promise<OrgRecord> {
  let record = await orgRecord(platform, org);
  const status = await platform.runtime.observe(org);
  if (status?.state !== "running" || !isOf(record, status)) record = await start(platform, record);
  const client = orgClient(platform, record, undefined, LOOK_TIMEOUT_MS);
  await until("answer", platform.runtime.patience.answerMs, () => sealStatus(client));
  return record;
}

/** Publishes the instance and waits until it runs. Moves it to another port if another process has its port. */
async function start(platform: Platform, found: OrgRecord): Promise<OrgRecord> {
  const { runtime } = platform;
  const { id } = found;
  let record = found.listen === undefined ? await moveTo(platform, id, await runtime.allocate(id)) : found;
  for (let tries = 1; ; tries++) {
    await runtime.publish(instanceSpec(platform, record));
    const status = await runtime.waitFor(id, (status) => hasTried(record, status), runtime.patience.startMs);
    if (status.state === "running") return record;
    if (!isAddressTaken(status) || tries === ADDRESS_TRIES) {
      const why = status.lastError ?? "no reason was reported";
      throw new StrongroomError("step_failed", `The organization's Vault does not start: ${why}`);
    }
    record = await moveTo(platform, id, await runtime.allocate(id));
  }
}

/** Whether a status belongs to the attempt and restart of the record. */
const isOf = (record: OrgRecord, status: InstanceStatus) =>
  status.attempt === record.attempt && status.restart === record.restart;

const hasTried = (record: OrgRecord, status: InstanceStatus) =>
  isOf(record, status) && (status.state === "running" || status.state === "backoff");

/** Whether an instance fails because another process has its port. */
export const isAddressTaken = ({ state, lastError }: InstanceStatus): boolean =>
  state === "backoff" && /address already in use/.test(lastError ?? "");

/** Records another address, which restarts the instance. */
export async function moveTo(platform: Platform, org: string, listen: string): Promise<OrgRecord> {
  return platform.registry.orgs.update(org, (record) => restarted(platform, { ...record, listen }));
}

/** The record with a restart of the instance, which applies its current settings. */
export function restarted(platform: Platform, record: OrgRecord): OrgRecord {
  return { ...record, restart: record.restart + 1, settingsDigest: settingsDigest(platform, record) };
}

/** Digest of an instance's settings, to detect that a process was started with other ones. */
export function settingsDigest(platform: Platform, record: OrgRecord): string {
  const { config, environment, secrets, files } = instanceSpec(platform, record);
  // Absent members are left out, so that the digests of specs without them do not change.
  return sha256(JSON.stringify([config, environment, secrets, ...(files ? [files] : [])]));
}
