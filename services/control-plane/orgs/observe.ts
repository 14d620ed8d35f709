import type { VaultClient } from "../../shared/vault/client.ts";
import { loginWithJwt, OBSERVE, signPlatformJwt } from "../../shared/vault/platform-jwt.ts";
import { orgClient, orgEndpoint, type Platform } from "../dependencies.ts";
import type { OrgRecord } from "../registry/records.ts";

/** The control plane's read-only client of an organization's Vault, valid for a minute. */
export async function loginToObserve(platform: Platform, record: OrgRecord): Promise<VaultClient> {
  const claims = { org: record.id, subject: "control-plane", now: platform.now() };
  const jwt = await signPlatformJwt(platform.vault, claims);
  const { token } = await loginWithJwt(orgEndpoint(platform, record), OBSERVE, OBSERVE, jwt);
  return orgClient(platform, record, () => token);
}
