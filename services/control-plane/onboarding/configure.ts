import { configureOrgVault } from "../../shared/vault/org-vault.ts";
import { orgRecord, orgVaultSettings, type Platform } from "../platform.ts";
import { rootClient } from "./root-token.ts";
import type { Step } from "./workflow.ts";

/** Mounts, logins, policies and audit devices of the organization's Vault. They go with its storage. */
export const configure = (platform: Platform): Step => ({
  name: "configure",
  async do({ org }) {
    const record = await orgRecord(platform, org);
    const settings = await orgVaultSettings(platform, record);
    await configureOrgVault(await rootClient(platform, record), settings);
  },
});
