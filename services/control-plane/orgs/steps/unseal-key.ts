import { createUnsealKey } from "../../../shared/vault/transit.ts";
import type { Platform } from "../../dependencies.ts";
import type { Step } from "../../jobs/workflow.ts";

/** The transit key the organization's Vault is sealed with. The control plane cannot delete it again. */
export const createKey = (platform: Platform): Step => ({
  name: "create-unseal-key",
  do: ({ org }) => createUnsealKey(platform.vault, org),
  async undo({ org }) {
    await platform.registry.orgs.update(org, (record) => ({ ...record, unsealKeyAbandoned: true }));
  },
});
