import { StrongroomError } from "../../shared/errors.ts";
import type { Platform } from "../dependencies.ts";
import type { OrgRecord } from "../registry/records.ts";

/** Whether any attempt's storage has the marker of a live organization, whatever the record says. */
export async function hasReadyStorage({ runtime }: Platform, record: OrgRecord): Promise<boolean> {
  const seen = (await runtime.observe(record.id))?.attempt ?? 0;
  for (let attempt = Math.max(record.attempt, seen); attempt > 0; attempt--) {
    if (await runtime.hasReadyMarker(record.id, attempt)) return true;
  }
  return false;
}

/**
 * Excludes an organization whose record contradicts its storage from all automatic work. Its instance keeps
 * serving, unchanged, and its directory entry stays.
 */
export async function quarantine(
  { registry, log, now }: Platform,
  org: string,
  message: string,
): Promise<void> {
  log.error({ org, reason: message }, "organization quarantined");
  await registry.orgs.update(org, (record) => ({
    ...record,
    state: "quarantined",
    lastError: { at: now().toISOString(), message },
  }));
}

const CONTRADICTION =
  "The record says that onboarding is unfinished, but the storage has the marker of a live organization. Nothing was changed.";

/** Throws `quarantined`, and quarantines the organization, if it is being onboarded on storage that was ready. */
export async function refuseReadyStorage(platform: Platform, org: string): Promise<void> {
  const record = (await platform.registry.orgs.read(org))?.value;
  if (!record || !(await hasReadyStorage(platform, record))) return;
  await quarantine(platform, org, CONTRADICTION);
  throw new StrongroomError("quarantined", CONTRADICTION);
}
