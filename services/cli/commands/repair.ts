import { readFile } from "node:fs/promises";
import { readSecretFile } from "../../shared/config.ts";
import { orgServerName } from "../../shared/org.ts";
import { instanceFolder } from "../../shared/process/instance-folders.ts";
import type { OrgView } from "../../shared/registry/views.ts";
import { appRoleLogin } from "../../shared/vault/approle.ts";
import { type VaultClient, vaultClient } from "../../shared/vault/client.ts";
import { OPERATOR } from "../../shared/vault/internal-vault.ts";
import { loginWithPassword } from "../../shared/vault/login.ts";
import { compareOrgVault, configureOrgVault, type OrgVaultSettings } from "../../shared/vault/org-vault.ts";
import {
  loginWithJwt,
  PLATFORM_MOUNTS,
  type PlatformMount,
  signPlatformJwt,
} from "../../shared/vault/platform-jwt.ts";
import { publicKeys } from "../../shared/vault/transit.ts";
import { Failure } from "../failure.ts";
import { localIssuer, localIssuerKeys } from "../platform/issuer.ts";
import type { PlatformFile } from "../platform/state-folder.ts";
import type { Session } from "../session.ts";

const MAINTAIN = "platform-maintain";

/**
 * `strongroom org repair <org>`: writes an organization's policies, logins and audit devices anew. An
 * operator's act, made by the operator: the control plane takes no part in it and never sees the token.
 */
export async function repairOrg(session: Session, [nameOrId = ""]: string[]): Promise<undefined> {
  const { out } = session;
  const platform = await session.local("org repair");
  const org = await (await session.controlPlane()).findOrg(nameOrId);
  if (org.state !== "ready" || !org.listen) {
    throw new Failure("conflict", `${org.name} is ${org.state}; only a ready organization can be repaired`);
  }
  const settings = await orgSettings(session, platform, org);
  const client = await maintainLogin(session, platform, org);
  const before = await compareOrgVault(client, settings, { sudo: true });
  for (const difference of before) out.note(`  ${difference}`);
  await configureOrgVault(client, settings);
  const left = await compareOrgVault(client, settings, { sudo: true });
  out.data({ repaired: before.filter((each) => !left.includes(each)), left }, () => []);
  if (left.length > 0) {
    throw new Failure("failure", `This is left, and wants a decision: ${left.join("; ")}`);
  }
  out.note(before.length === 0 ? `${org.name} was as it should be` : `${org.name} is as it should be again`);
}

/** A login of one minute at the organization's Vault, approved by the operator's own at the internal Vault. */
async function maintainLogin(session: Session, platform: PlatformFile, org: OrgView): Promise<VaultClient> {
  const internal = { address: platform.internalVault };
  const password = readSecretFile(session.state.operatorPassword, "operator-password");
  const operator = await loginWithPassword(internal, OPERATOR, password);
  const signer = vaultClient(internal, () => operator.token);
  const jwt = await signPlatformJwt(signer, MAINTAIN, { org: org.id, subject: OPERATOR, now: new Date() });
  const endpoint = {
    address: `https://${org.listen}`,
    ca: await readFile(session.state.at("gateway", "ca.pem"), "utf8"),
    serverName: orgServerName(org.id),
  };
  const { token } = await loginWithJwt(endpoint, MAINTAIN, MAINTAIN, jwt);
  return vaultClient(endpoint, () => token);
}

async function orgSettings(
  session: Session,
  platform: PlatformFile,
  org: OrgView,
): Promise<OrgVaultSettings> {
  const issuer = localIssuer(platform.identityProvider);
  if (org.issuer !== issuer.issuer) {
    throw new Failure(
      "failure",
      `${org.name}'s tokens come from ${org.issuer}, whose settings are not known here`,
    );
  }
  return {
    org: org.id,
    claim: org.claim,
    issuer,
    issuerKeys: await localIssuerKeys(issuer),
    platformKeys: await platformKeys(session, platform),
    auditDirectory: instanceFolder(session.state.instances, org.id, org.attempt).dir,
  };
}

/** The platform's public keys. The operator may only sign; the control plane's login may read them. */
async function platformKeys({ state }: Session, platform: PlatformFile) {
  const internal = { address: platform.internalVault };
  const login = appRoleLogin(internal, {
    roleId: readSecretFile(state.at("control-plane", "role-id"), "role-id"),
    secretId: readSecretFile(state.at("control-plane", "secret-id"), "secret-id"),
  });
  const reader = vaultClient(internal, () => login.token());
  const pairs = PLATFORM_MOUNTS.map(async (mount) => [mount, await publicKeys(reader, mount)] as const);
  return Object.fromEntries(await Promise.all(pairs)) as Record<PlatformMount, string[]>;
}
