import { StrongroomError } from "../../../shared/errors.ts";
import { health } from "../../../shared/vault/health.ts";
import { initialize, sealStatus } from "../../../shared/vault/init.ts";
import { isTokenAlive, revokeSelf } from "../../../shared/vault/tokens.ts";
import { orgClient, orgRecord, type Platform } from "../../dependencies.ts";
import type { Step } from "../../jobs/workflow.ts";
import type { JobRecord, OrgRecord } from "../../registry/records.ts";
import { hasReadyStorage } from "../quarantine.ts";
import { recoveryThreshold } from "../recovery-keys.ts";
import { forgetInitResult, keepInitResult, readInitResult } from "../root-token.ts";
import { until } from "../until.ts";
import { requestOf } from "./reserve.ts";
import { launch, restarted } from "./start-instance.ts";

const INIT_TIMEOUT_MS = 60_000;
const ACTIVE_WITHIN_MS = 30_000;
const LOOK_TIMEOUT_MS = 2_000;

/**
 * Initializes the Vault, and keeps the root token during onboarding. Vault returns the result only once: if an
 * earlier try may have initialized it but kept no result, the storage is set aside and another attempt starts on
 * new storage.
 */
export const initializeVault = (platform: Platform): Step => ({
  name: "initialize",

  async do(job) {
    const { org } = job;
    const kept = (await readInitResult(platform, org)) ?? (await begin(platform, job));
    const record = await launch(platform, org);
    const client = orgClient(platform, record, undefined, LOOK_TIMEOUT_MS);
    const clusterId = await until("become active", ACTIVE_WITHIN_MS, async () =>
      (await health(client)) === "active" ? (await sealStatus(client)).clusterId : undefined,
    );
    const { recoveryKeys } = kept;
    await platform.registry.orgs.update(org, (record) => ({ ...record, clusterId, recoveryKeys }));
  },

  async undo({ org }) {
    const kept = await readInitResult(platform, org);
    if (!kept) return;
    const root = orgClient(platform, await orgRecord(platform, org), () => kept.rootToken, LOOK_TIMEOUT_MS);
    // A Vault that does not answer now will not run again: the next undo sets its storage aside.
    const revoke = async () => ((await isTokenAlive(root)) ? revokeSelf(root) : undefined);
    await revoke().catch((err) => platform.log.warn({ org, err }, "cannot revoke the root token"));
    await forgetInitResult(platform, org);
  },
});

async function begin(platform: Platform, job: JobRecord) {
  const { org } = job;
  let record = await orgRecord(platform, org);
  if (record.initializingAttempt === record.attempt) record = await nextAttempt(platform, record);
  record = await launch(platform, org);
  const client = orgClient(platform, record, undefined, INIT_TIMEOUT_MS);
  if ((await sealStatus(client)).initialized) {
    throw new StrongroomError("step_failed", "The organization's storage is not new; it was not changed.");
  }
  const { attempt } = record;
  await platform.registry.orgs.update(org, (record) => ({ ...record, initializingAttempt: attempt }));
  await platform.failpoint("initialize:recorded");
  const pgpKeys = requestOf(job).recoveryPgpKeys;
  const result = await initialize(client, { pgpKeys, threshold: recoveryThreshold(pgpKeys.length) });
  await platform.failpoint("initialize:initialized");
  await keepInitResult(platform, org, result);
  return result;
}

/** Sets this attempt's storage aside, and records the next attempt. */
async function nextAttempt(platform: Platform, { id, attempt }: OrgRecord): Promise<OrgRecord> {
  const { runtime, registry } = platform;
  await runtime.remove(id);
  await runtime.setAside(id, attempt, "initialization was interrupted");
  const record = await registry.orgs.update(id, (record) =>
    restarted(platform, { ...record, attempt: attempt + 1 }),
  );
  if (await hasReadyStorage(platform, record)) {
    throw new StrongroomError("quarantined", "An attempt's storage has the marker of a live organization.");
  }
  return record;
}
