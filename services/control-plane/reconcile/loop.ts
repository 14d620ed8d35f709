import { setTimeout as sleep } from "node:timers/promises";
import { isServed } from "../../shared/api/org-states.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { orgRecord, type Platform } from "../dependencies.ts";
import type { Engine } from "../jobs/engine.ts";
import { isEnded } from "../jobs/job-state.ts";
import type { OrgLocks } from "../jobs/org-locks.ts";
import { refuseReadyStorage } from "../orgs/quarantine.ts";
import type { OrgRecord } from "../registry/records.ts";
import { createOrgReconciler } from "./org.ts";
import { pruneRegistry } from "./prune.ts";

export interface ReconcilerOptions {
  locks: OrgLocks;
  /** Interval of passes, in ms: well below a quarter of an unseal token's period. */
  intervalMs: number;
  /** Interval of drift checks of one organization's Vault, in ms. */
  driftIntervalMs: number;
}

/** Reconciles all organizations periodically. */
export interface Reconciler {
  /**
   * The first pass over all organizations, before any instance is started. A failure for one organization is put on
   * its record and does not stop the others.
   */
  first(): Promise<void>;
  /** Repeats the pass at intervals until stopped. */
  start(): void;
  stop(): Promise<void>;
}

/** The number of services that ECS describes in one call. */
const AT_ONCE = 10;
const PRUNE_EVERY_MS = 24 * 3600 * 1000;

export function createReconciler(platform: Platform, engine: Engine, options: ReconcilerOptions): Reconciler {
  const { registry, directory, log } = platform;
  const { locks, intervalMs, driftIntervalMs } = options;
  const orgs = createOrgReconciler(platform, driftIntervalMs);
  const stopping = new AbortController();
  let passing: Promise<void> = Promise.resolve();
  let pruneAt = 0;

  async function pass(isStart: boolean): Promise<void> {
    engine.retry();
    const work = (await registry.orgs.all()).values();
    const worker = async () => {
      for (const record of work) await lookAfter(record, isStart);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    await directory.publish();
    if (!isStart) await prune();
  }

  async function prune(): Promise<void> {
    if (platform.now().getTime() < pruneAt) return;
    pruneAt = platform.now().getTime() + PRUNE_EVERY_MS;
    const removed = await pruneRegistry(platform);
    if (removed > 0) log.info({ removed }, "obsolete records removed");
  }

  async function lookAfter(record: OrgRecord, isStart: boolean): Promise<void> {
    if (locks.isHeld(record.id)) return;
    try {
      if (isServed(record)) await locks.run(record.id, () => reconcileIfServed(record.id, isStart));
      if (record.state === "initializing" && !engine.isHeld(record.job)) await doubt(record);
    } catch (error) {
      if (error instanceof StrongroomError && error.code === "quarantined") return;
      log.error({ org: record.id, err: error }, "cannot reconcile an organization");
    }
  }

  /** Reads the record again, under the lock: it may have changed since the pass read it. */
  async function reconcileIfServed(id: string, isStart: boolean): Promise<void> {
    const record = await orgRecord(platform, id);
    if (isServed(record)) await orgs.reconcile(record, isStart);
  }

  /** No job is onboarding it: its record may be an old version of a ready organization's. */
  async function doubt(record: OrgRecord): Promise<void> {
    await refuseReadyStorage(platform, record.id);
    const job = (await registry.jobs.read(record.job))?.value;
    if (!job || isEnded(job))
      await orgs.report(record, "Its onboarding has ended, but its record still says initializing.");
  }

  async function forever(): Promise<void> {
    const { signal } = stopping;
    while (!signal.aborted) {
      await sleep(intervalMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      await pass(false).catch((err) => log.error({ err }, "reconcile pass failed"));
    }
  }

  return {
    first: () => pass(true),
    start() {
      passing = forever();
    },
    async stop() {
      stopping.abort();
      await passing;
    },
  };
}
