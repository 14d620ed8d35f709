import { orgRecord, type Platform } from "../dependencies.ts";
import type { Workflow } from "../jobs/workflow.ts";
import type { OrgRecord } from "../registry/records.ts";
import { endCertificates } from "./steps/certificate.ts";
import { release } from "./steps/reserve.ts";
import { endUnsealTokens } from "./steps/unseal-token.ts";

/**
 * Takes an organization out of service. Its storage and its unseal key stay, marked, until they are purged.
 * There is no way back: what fails is left where it is, and deleting again goes on from there.
 */
export function deleteWorkflow(platform: Platform): Workflow {
  const { registry, runtime, directory, now } = platform;
  return {
    steps: [
      {
        name: "unpublish",
        async do({ id, org }) {
          await registry.orgs.update(org, (record) => ({ ...record, state: "deleting", job: id }));
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
      const message = `Deleting it failed at ${error?.step}: ${error?.detail} Delete it again to go on.`;
      await registry.orgs.update(org, (record) => ({
        ...record,
        lastError: { at: now().toISOString(), message },
      }));
    },
  };
}
