import { StrongroomError } from "../../shared/errors.ts";
import { orgRecord, type Platform } from "../dependencies.ts";
import { isEnded } from "../jobs/job-state.ts";
import type { Workflow } from "../jobs/workflow.ts";
import type { OrgRecord } from "../registry/records.ts";
import { endCertificates } from "./steps/certificate.ts";
import { release } from "./steps/reserve.ts";
import { endUnsealTokens } from "./steps/unseal-token.ts";

/**
 * Takes an organization out of service. Its storage and unseal key are kept, marked, until a purge. Deletion cannot
 * be undone: a failed job stops at its step, and another deletion resumes from there.
 */
export function deleteWorkflow(platform: Platform): Workflow {
  const { registry, runtime, directory, now } = platform;
  return {
    kind: "delete",
    permission: "orgs:delete",
    steps: [
      {
        name: "unpublish",
        async do({ id, org }) {
          await takeOver(platform, org, id);
          await directory.publish();
        },
      },
      {
        name: "stop-instance",
        async do({ org }) {
          const seen = (await runtime.observe(org))?.attempt ?? 0;
          await runtime.remove(org);
          const { attempt } = await orgRecord(platform, org);
          await runtime.setAside(org, Math.max(attempt, seen), "deleted");
        },
      },
      { name: "revoke-certificate", do: ({ org }) => endCertificates(platform, org) },
      { name: "revoke-unseal-token", do: ({ org }) => endUnsealTokens(platform, org) },
      { name: "release-name", do: async ({ org }) => release(platform, org, await orgRecord(platform, org)) },
    ],

    async succeed({ org }) {
      await registry.orgs.update(
        org,
        ({ lastError: _, ...record }): OrgRecord => ({
          ...record,
          state: "deleted",
          deletedAt: record.deletedAt ?? now().toISOString(),
          unsealKeyAbandoned: true,
        }),
      );
    },

    async fail({ org, error }) {
      const message = `Deletion failed at ${error?.step}: ${error?.detail} Delete it again to continue.`;
      await registry.orgs.update(org, (record) => ({
        ...record,
        lastError: { at: now().toISOString(), message },
      }));
    },
  };
}

/** Makes this job the one that deletes an organization. Throws `conflict` if another unfinished job deletes it. */
async function takeOver(platform: Platform, org: string, job: string): Promise<void> {
  const { orgs, jobs } = platform.registry;
  for (let taken = ""; taken !== job; ) {
    const before = await orgRecord(platform, org);
    if (before.job === job) return;
    const other = before.state === "deleting" && (await jobs.read(before.job))?.value;
    if (other && !isEnded(other)) {
      throw new StrongroomError("conflict", "The organization is already being deleted.");
    }
    const record = await orgs.update(org, (current) =>
      current.job === before.job ? { ...current, state: "deleting", job } : current,
    );
    taken = record.job;
  }
}
