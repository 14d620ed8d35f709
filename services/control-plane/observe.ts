import type { OrgRecord } from "../shared/registry/records.ts";
import type { VaultClient } from "../shared/vault/client.ts";
import { loginWithJwt, signPlatformJwt } from "../shared/vault/platform-jwt.ts";
import { orgClient, orgEndpoint, type Platform } from "./platform.ts";

const MOUNT = "platform-observe";

/** The control plane's own, read-only client of an organization's Vault, good for a minute. */
export async function loginToObserve(platform: Platform, record: OrgRecord): Promise<VaultClient> {
  const claims = { org: record.id, subject: "control-plane", now: platform.now() };
  const jwt = await signPlatformJwt(platform.vault, MOUNT, claims);
  const { token } = await loginWithJwt(orgEndpoint(platform, record), MOUNT, MOUNT, jwt);
  return orgClient(platform, record, () => token);
}
