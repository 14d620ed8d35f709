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

/** The operator of this machine, signed in at the internal Vault: what is signed for it in its minutes is approved. */
export async function signIn(platform: Addresses & { state: string }): Promise<VaultClient> {
  const internal = { address: platform.internalVault };
  const state = new StateFolder(platform.state);
  const key = readSecretFile(state.operatorKey, "operator-key");
  const clusterId = (await readText(state.internalClusterId))?.trim();
  if (!clusterId) {
    throw new Failure(
      "config",
      `${state.internalClusterId} is missing: without it the operator cannot say at which internal Vault to sign in`,
      "Put it back from a copy: it holds the cluster_id that GET /v1/sys/health of the internal Vault shows",
    );
  }
  return loginAsOperator(internal, { key, clusterId });
}

/**
 * A login of one minute at an organization's Vault, which the operator of this machine approves by having
 * signed in. The address comes from the registry, which the control plane writes: whoever answers there gets
 * nothing that the organization's Vault would take from anybody but this process.
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

/** How an organization's Vault should be configured. Failure `failure` for an issuer that is not the local one. */
export async function orgVaultSettings(
  platform: Addresses & { state: string },
  org: OrgView,
): Promise<OrgVaultSettings> {
  const state = new StateFolder(platform.state);
  const issuer = localIssuer(platform.identityProvider);
  if (org.issuer !== issuer.issuer) {
    throw new Failure("failure", `${org.name}'s tokens come from ${org.issuer}, which is not known here`);
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

/** The operator may only sign; the control plane's login may read what is public. */
async function platformTrust({ internalVault }: Addresses, state: StateFolder): Promise<PlatformTrust> {
  const internal = { address: internalVault };
  const login = appRoleLogin(internal, {
    roleId: readSecretFile(state.at("control-plane", "role-id"), "role-id"),
    secretId: readSecretFile(state.at("control-plane", "secret-id"), "secret-id"),
  });
  return readPlatformTrust(vaultClient(internal, () => login.token()));
}
