import { expect, test } from "vitest";
import type { Platform } from "../../../services/control-plane/dependencies.ts";
import { newJob, withState } from "../../../services/control-plane/jobs/job-state.ts";
import { pruneRegistry } from "../../../services/control-plane/reconcile/prune.ts";
import { newJobId, type OrgRecord } from "../../../services/control-plane/registry/records.ts";
import { newOrgId } from "../../../services/shared/org.ts";
import { memoryRegistry } from "../fixtures.ts";

const NOW = new Date("2026-03-01T00:00:00Z");
const daysAgo = (days: number) => new Date(NOW.getTime() - days * 24 * 3600 * 1000);

test("old jobs go, and their keys; the last of an organization, the young and the unfinished stay", async () => {
  const registry = memoryRegistry();
  const add = async (endedDaysAgo: number | undefined, org = newOrgId()) => {
    const job = newJob({ id: newJobId(), kind: "create", org }, [], daysAgo(100));
    const ended = endedDaysAgo === undefined ? job : withState(job, "succeeded", daysAgo(endedDaysAgo));
    await registry.jobs.create(job.id, ended);
    await registry.idempotency.create(`key-of-${job.id}`, { body: "", job: job.id });
    return job.id;
  };
  const old = await add(31);
  const young = await add(29);
  const unfinished = await add(undefined);
  const org = newOrgId();
  const last = await add(90, org);
  await registry.orgs.create(org, orgWith(org, last));
  await registry.idempotency.create("key-of-none", { body: "", job: newJobId() });

  const platform = { registry, now: () => NOW } as Platform;
  expect(await pruneRegistry(platform)).toBe(3);
  expect((await registry.jobs.keys()).sort()).toEqual([young, unfinished, last].sort());
  expect((await registry.idempotency.keys()).sort()).toEqual(
    [young, unfinished, last].map((id) => `key-of-${id}`).sort(),
  );
  expect(await registry.jobs.read(old)).toBeUndefined();
  expect(await pruneRegistry(platform)).toBe(0);
});

function orgWith(id: string, job: string): OrgRecord {
  return {
    ...{ id, job, name: "acme", claim: "org_acme", state: "ready", attempt: 1, restart: 0, reload: 0 },
    issuer: {
      ...{ issuer: "https://issuer.test/", audience: "vaults", jwksUri: "https://issuer.test/jwks" },
      ...{ algorithms: ["RS256"], orgClaim: "org_id", groupsClaim: "groups" },
    },
    retiredTokenAccessors: [],
    retiredCertificateSerials: [],
    createdAt: daysAgo(100).toISOString(),
  };
}
