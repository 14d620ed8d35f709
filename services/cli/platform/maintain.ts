import { readFile } from "node:fs/promises";
import { readSecretFile } from "../../shared/config.ts";
import { orgServerName } from "../../shared/org.ts";
import { instanceFolder } from "../../shared/process/instance-folders.ts";
import type { OrgView } from "../../shared/registry/views.ts";
import { appRoleLogin } from "../../shared/vault/approle.ts";
import { type VaultClient, vaultClient } from "../../shared/vault/client.ts";
import { OPERATOR } from "../../shared/vault/internal-vault.ts";
import { loginWithPassword } from "../../shared/vault/login.ts";
import type { OrgVaultSettings } from "../../shared/vault/org-vault.ts";
import {
  loginWithJwt,
  PLATFORM_MOUNTS,
  type PlatformMount,
  signPlatformJwt,
} from "../../shared/vault/platform-jwt.ts";
import { publicKeys } from "../../shared/vault/transit.ts";
import { Failure } from "../failure.ts";
import { localIssuer, localIssuerKeys } from "./issuer.ts";
import { type Addresses, StateFolder } from "./state-folder.ts";

const MAINTAIN = "platform-maintain";

/** The operator of this machine, signed in at the internal Vault: what it signs in its minutes is approved. */
export async function signIn(platform: Addresses & { state: string }): Promise<VaultClient> {
  const internal = { address: platform.internalVault };
  const password = readSecretFile(new StateFolder(platform.state).operatorPassword, "operator-password");
  const operator = await loginWithPassword(internal, OPERATOR, password);
  return vaultClient(internal, () => operator.token);
}

/**
 * A login of one minute at an organization's Vault, which the operator of this machine approves by having
 * signed in. It goes from the internal Vault to here: the control plane never sees it.
 */
export async function maintainLogin(
  platform: Addresses & { state: string },
  signer: VaultClient,
  org: Pick<OrgView, "id" | "listen">,
): Promise<VaultClient> {
  const state = new StateFolder(platform.state);
  const jwt = await signPlatformJwt(signer, MAINTAIN, { org: org.id, subject: OPERATOR, now: new Date() });
  const endpoint = {
    address: `https://${org.listen}`,
    ca: await readFile(state.at("gateway", "ca.pem"), "utf8"),
    serverName: orgServerName(org.id),
  };
  const { token } = await loginWithJwt(endpoint, MAINTAIN, MAINTAIN, jwt);
  return vaultClient(endpoint, () => token);
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
    issuerKeys: await localIssuerKeys(issuer),
    machineTokens: org.machineTokens === true,
    platformKeys: await platformKeys(platform, state),
    auditFiles: instanceFolder(state.instances, org.id, org.attempt).audit,
  };
}

/** The platform's public keys. The operator may only sign; the control plane's login may read them. */
async function platformKeys(
  { internalVault }: Addresses,
  state: StateFolder,
): Promise<Record<PlatformMount, string[]>> {
  const internal = { address: internalVault };
  const login = appRoleLogin(internal, {
    roleId: readSecretFile(state.at("control-plane", "role-id"), "role-id"),
    secretId: readSecretFile(state.at("control-plane", "secret-id"), "secret-id"),
  });
  const reader = vaultClient(internal, () => login.token());
  const pairs = PLATFORM_MOUNTS.map(async (mount) => [mount, await publicKeys(reader, mount)] as const);
  return Object.fromEntries(await Promise.all(pairs)) as Record<PlatformMount, string[]>;
}
