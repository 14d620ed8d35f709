import { configureOrgVault } from "../../../shared/vault/org-vault.ts";
import { orgRecord, orgVaultSettings, type Platform } from "../../dependencies.ts";
import type { Step } from "../../jobs/workflow.ts";
import { rootClient } from "../root-token.ts";

/** Writes mounts, logins, policies and audit devices of the organization's Vault. Its storage contains them: no undo. */
export const configure = (platform: Platform): Step => ({
  name: "configure",
  async do({ org }) {
    const record = await orgRecord(platform, org);
    const settings = await orgVaultSettings(platform, record);
    await configureOrgVault(await rootClient(platform, record), settings);
  },
});
