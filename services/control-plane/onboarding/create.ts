import type { Platform } from "../platform.ts";
import { issueCertificate } from "./certificate.ts";
import { configure } from "./configure.ts";
import { initializeVault } from "./initialize.ts";
import { startInstance } from "./instance.ts";
import { refuseReadyStorage } from "./quarantine.ts";
import { reserve } from "./reserve.ts";
import { revokeRoot } from "./revoke-root.ts";
import { createKey } from "./unseal-key.ts";
import { issueUnsealToken } from "./unseal-token.ts";
import { verify } from "./verify.ts";
import type { Workflow } from "./workflow.ts";

/** Onboards an organization. */
export function createWorkflow(platform: Platform): Workflow {
  const { registry, runtime, directory, now } = platform;
  return {
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
      if (!found) throw new Error(`${org}: the record is gone`);
      // First the marker: no organization is ever ready whose storage does not say so.
      await runtime.markReady(org, found.value.attempt);
      await platform.seam("ready:marked");
      await registry.orgs.update(org, (record) => ({
        ...record,
        state: "ready",
        readyAt: record.readyAt ?? now().toISOString(),
      }));
      await directory.publish();
    },
  };
}
