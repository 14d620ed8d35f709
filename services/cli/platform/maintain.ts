import { readFile } from "node:fs/promises";
import type { OrgView } from "../../shared/api/orgs.ts";
import { readSecretFile } from "../../shared/config.ts";
import { readText } from "../../shared/files.ts";
import { fetchIssuerKeys } from "../../shared/issuer-jwks.ts";
import { orgServerName } from "../../shared/org.ts";
import { instanceFolder } from "../../shared/process/instance-folders.ts";
import { appRoleLogin } from "../../shared/vault/approle.ts";
import { type VaultClient, vaultClient } from "../../shared/vault/client.ts";
import type { OrgVaultSettings } from "../../shared/vault/org-vault.ts";
import { type PlatformTrust, readPlatformTrust } from "../../shared/vault/platform-trust.ts";
import { Failure } from "../failure.ts";
import { loginWithCertificate, makeClientCertificate } from "./client-certificate.ts";
import { localIssuer } from "./issuer.ts";
import { loginAsOperator } from "./operator-login.ts";
import { type Addresses, StateFolder } from "./state-folder.ts";

const MAINTAIN = "platform-maintain";

/** Logs in to the internal Vault as this machine's operator, whose login of a few minutes signs the approvals. */
export async function signIn(platform: Addresses & { state: string }): Promise<VaultClient> {
  const internal = { address: platform.internalVault };
  const state = new StateFolder(platform.state);
  const key = readSecretFile(state.operatorKey, "operator-key");
  const clusterId = (await readText(state.internalClusterId))?.trim();
  if (!clusterId) {
    throw new Failure(
      "config",
      `${state.internalClusterId} is missing: without it the operator cannot tell which internal Vault to log in to`,
      "Restore it from a backup: it contains the cluster_id that the internal Vault's GET /v1/sys/health returns",
    );
  }
  return loginAsOperator(internal, { key, clusterId });
}

/**
 * A login of one minute to an organization's Vault, approved by the operator's login. The address comes from the
 * registry, which the control plane writes: a server there that is not the organization's Vault gets nothing that
 * the Vault would accept from anyone but this process.
 */
export async function maintainLogin(
  platform: Addresses & { state: string },
  signer: VaultClient,
  org: Pick<OrgView, "id" | "listen">,
): Promise<VaultClient> {
  const state = new StateFolder(platform.state);
  const certificate = await makeClientCertificate(signer, MAINTAIN, org.id);
  const endpoint = {
    address: `https://${org.listen}`,
    ca: await readFile(state.at("gateway", "ca.pem"), "utf8"),
    serverName: orgServerName(org.id),
  };
  return loginWithCertificate(endpoint, MAINTAIN, certificate);
}

/** The desired configuration of an organization's Vault. Failure `failure` for an issuer other than the local one. */
export async function orgVaultSettings(
  platform: Addresses & { state: string },
  org: OrgView,
): Promise<OrgVaultSettings> {
  const state = new StateFolder(platform.state);
  const issuer = localIssuer(platform.identityProvider);
  if (org.issuer !== issuer.issuer) {
    throw new Failure(
      "failure",
      `${org.name}'s tokens come from ${org.issuer}, which is not this platform's issuer`,
    );
  }
  return {
    org: org.id,
    claim: org.claim,
    issuer,
    issuerKeys: await fetchIssuerKeys(issuer),
    machineTokens: org.machineTokens === true,
    trust: await platformTrust(platform, state),
    auditFiles: instanceFolder(state.instances, org.id, org.attempt).audit,
  };
}

/** The operator's login may only sign; the control plane's login may read the public keys and certificates. */
async function platformTrust({ internalVault }: Addresses, state: StateFolder): Promise<PlatformTrust> {
  const internal = { address: internalVault };
  const login = appRoleLogin(internal, {
    roleId: readSecretFile(state.at("control-plane", "role-id"), "role-id"),
    secretId: readSecretFile(state.at("control-plane", "secret-id"), "secret-id"),
  });
  return readPlatformTrust(vaultClient(internal, () => login.token()));
}
