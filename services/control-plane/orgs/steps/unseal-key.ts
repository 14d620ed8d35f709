import { createUnsealKey } from "../../../shared/vault/transit.ts";
import type { Platform } from "../../dependencies.ts";
import type { Step } from "../../jobs/workflow.ts";

/** Creates the transit key that seals the organization's Vault. The control plane cannot delete it. */
export const createKey = (platform: Platform): Step => ({
  name: "create-unseal-key",
  do: ({ org }) => createUnsealKey(platform.vault, org),
  async undo({ org }) {
    await platform.registry.orgs.update(org, (record) => ({ ...record, unsealKeyAbandoned: true }));
  },
});
