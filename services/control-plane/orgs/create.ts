import type { Platform } from "../dependencies.ts";
import type { Workflow } from "../jobs/workflow.ts";
import { refuseReadyStorage } from "./quarantine.ts";
import { issueCertificate } from "./steps/certificate.ts";
import { configure } from "./steps/configure.ts";
import { initializeVault } from "./steps/initialize.ts";
import { reserve } from "./steps/reserve.ts";
import { revokeRoot } from "./steps/revoke-root.ts";
import { startInstance } from "./steps/start-instance.ts";
import { createKey } from "./steps/unseal-key.ts";
import { issueUnsealToken } from "./steps/unseal-token.ts";
import { verify } from "./steps/verify.ts";

/** Onboards an organization. */
export function createWorkflow(platform: Platform): Workflow {
  const { registry, runtime, directory, now } = platform;
  return {
    kind: "create",
    permission: "orgs:create",
    steps: [
      reserve(platform),
      createKey(platform),
      issueUnsealToken(platform),
      issueCertificate(platform),
      startInstance(platform),
      initializeVault(platform),
      configure(platform),
      verify(platform),
      revokeRoot(platform),
    ],

    guard: ({ org }) => refuseReadyStorage(platform, org),

    async succeed({ org }) {
      const found = await registry.orgs.read(org);
      if (!found) throw new Error(`${org}: the record is missing`);
      // The marker first: every ready organization's storage must have it.
      await runtime.markReady(org, found.value.attempt);
      await platform.failpoint("ready:marked");
      await registry.orgs.update(org, (record) => ({
        ...record,
        state: "ready",
        readyAt: record.readyAt ?? now().toISOString(),
      }));
      await directory.publish();
    },
  };
}
