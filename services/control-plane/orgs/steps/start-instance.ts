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
 * Has the organization's instance run, and waits until its Vault answers; gives the record with its address.
 * What runs already is left as it is.
 */
export async function launch(platform: Platform, org: string): Promise<OrgRecord> {
  let record = await orgRecord(platform, org);
  const status = await platform.runtime.observe(org);
  if (status?.state !== "running" || !isOf(record, status)) record = await start(platform, record);
  const client = orgClient(platform, record, undefined, LOOK_TIMEOUT_MS);
  await until("answer", platform.runtime.patience.answerMs, () => sealStatus(client));
  return record;
}

/** Publishes the instance and waits until it runs. It moves where another process has its port. */
async function start(platform: Platform, found: OrgRecord): Promise<OrgRecord> {
  const { runtime } = platform;
  const { id } = found;
  let record = found.listen === undefined ? await moveTo(platform, id, await runtime.allocate(id)) : found;
  for (let tries = 1; ; tries++) {
    await runtime.publish(instanceSpec(platform, record));
    const status = await runtime.waitFor(id, (status) => hasTried(record, status), runtime.patience.startMs);
    if (status.state === "running") return record;
    if (!isAddressTaken(status) || tries === ADDRESS_TRIES) {
      const why = status.lastError ?? "no reason is given";
      throw new StrongroomError("step_failed", `The organization's Vault does not start: ${why}`);
    }
    record = await moveTo(platform, id, await runtime.allocate(id));
  }
}

/** Whether a status is of what the record says should run. */
const isOf = (record: OrgRecord, status: InstanceStatus) =>
  status.attempt === record.attempt && status.restart === record.restart;

const hasTried = (record: OrgRecord, status: InstanceStatus) =>
  isOf(record, status) && (status.state === "running" || status.state === "backoff");

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
  const { config, environment, secrets, files } = instanceSpec(platform, record);
  // What is absent counts for nothing, so that the digests of specs that never had it stay.
  return sha256(JSON.stringify([config, environment, secrets, ...(files ? [files] : [])]));
}
