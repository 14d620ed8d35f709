import { TRAIL_HEAD_HEADER, TRAIL_MOUNT } from "../../shared/audit/trail.ts";
import { ORG_DOMAIN } from "../../shared/org.ts";
import { OWNERS_MOUNT, OWNERSHIP_KEY } from "../../shared/owners.ts";
import type { Secret } from "../../shared/secret.ts";
import type { AppRoleCredentials } from "../../shared/vault/approle.ts";
import { auditHeader, enableAudit, fileAudit } from "../../shared/vault/audit-devices.ts";
import { ifFound, type VaultClient } from "../../shared/vault/client.ts";
import { createClientAuthorities } from "../../shared/vault/client-authority.ts";
import { sealStatus } from "../../shared/vault/init.ts";
import { whenUpgraded } from "../../shared/vault/kv.ts";
import { authMethods, enableAuthMethods, enableSecretsEngines } from "../../shared/vault/mounts.ts";
import { caCertificate, ORG_CERTIFICATE_ROLE } from "../../shared/vault/pki.ts";
import { OBSERVE } from "../../shared/vault/platform-jwt.ts";
import { policyText, writePolicy } from "../../shared/vault/policies.ts";
import { UNSEAL_ROLE } from "../../shared/vault/tokens.ts";
import { createSigningKey, publicKeys } from "../../shared/vault/transit.ts";
import { allowService, disableLockout } from "./app-roles.ts";
import { allowCredentials } from "./credential-keys.ts";
import type { CredentialLogin } from "./credential-logins.ts";
import { allowOperator } from "./operator-login.ts";
import { limitRecovery } from "./recovery-quota.ts";

export interface InternalVaultSettings {
  /** Period of unseal tokens. The default, 768 h, is Vault's own maximum. */
  unsealTokenPeriodSeconds?: number;
  /** Maximum lifetime of an organization's server certificate. */
  certificateMaxTtlSeconds: number;
  /** PEM of the operator's public key: the holder of the private key may open `platform-maintain`. */
  operatorKey: string;
  /** Absolute path of the audit log; undefined for none. */
  auditFile: string | undefined;
}

/** What the services need to know of the internal Vault. */
export interface InternalVaultIdentity {
  /** The control plane's login. */
  roleId: Secret;
  secretId: Secret;
  /** The logins of the services that use credentials' keys. */
  logins: Record<CredentialLogin, AppRoleCredentials>;
  /** PEM of the public key that verifies the directory. */
  directoryKey: string;
  /** PEM of the public key that verifies operators' statements of ownership. */
  ownershipKey: string;
  /** PEM of the authority that issues the organizations' certificates. */
  ca: string;
  clusterId: string;
}

const DIRECTORY_KEY = "directory";
const RECEIPTS_KEY = "receipts";
const CONTROL_PLANE = "control-plane";
const DEFAULT_PERIOD_SECONDS = 768 * 3600;

/**
 * Bootstraps a new internal Vault with its root token. May be run again after a crash: existing objects stay, and the
 * services' older secret ids are destroyed. Does not revoke the root token.
 */
export async function bootstrapInternalVault(
  root: VaultClient,
  settings: InternalVaultSettings,
): Promise<InternalVaultIdentity> {
  if (settings.auditFile) await enableAudit(root, { file: fileAudit(settings.auditFile) });
  await enableSecretsEngines(root, {
    transit: { type: "transit" },
    pki: { type: "pki", config: { max_lease_ttl: AUTHORITY_TTL } },
    registry: { type: "kv", options: { version: "2" } },
    "root-tokens": { type: "kv", options: { version: "1" } },
  });
  await enableAuthMethods(root, { approle: "approle" });
  await Promise.all(
    [OBSERVE, DIRECTORY_KEY, OWNERSHIP_KEY, RECEIPTS_KEY].map((key) => createSigningKey(root, key)),
  );
  await createAuthority(root, settings.certificateMaxTtlSeconds);
  await createClientAuthorities(root);
  await allowUnsealTokens(root, settings.unsealTokenPeriodSeconds ?? DEFAULT_PERIOD_SECONDS);
  const { clusterId } = await sealStatus(root);
  if (!clusterId) throw new Error("the internal Vault does not report its cluster id");
  await allowOperator(root, settings.operatorKey, clusterId);
  await enableTrail(root);
  await enableOwners(root);
  await disableLockout(root);
  const login = await allowService(root, CONTROL_PLANE);
  const logins = await allowCredentials(root);
  await limitRecovery(root);
  await whenUpgraded(root, "registry");

  const [ca, directoryKey, ownershipKey] = await Promise.all([
    caCertificate(root),
    newestPublicKey(root, DIRECTORY_KEY),
    newestPublicKey(root, OWNERSHIP_KEY),
  ]);
  return { ...login, logins, directoryKey, ownershipKey, ca, clusterId };
}

async function newestPublicKey(root: VaultClient, name: string): Promise<string> {
  const key = (await publicKeys(root, name)).at(-1);
  if (!key) throw new Error(`the internal Vault has no public key ${name}`);
  return key;
}

/** The trail's own mount, and its head in clear text in the audit log, which exposes a rewritten trail. */
async function enableTrail(root: VaultClient): Promise<void> {
  await enableSecretsEngines(root, { [TRAIL_MOUNT]: { type: "kv", options: { version: "2" } } });
  await auditHeader(root, TRAIL_HEAD_HEADER);
  await whenUpgraded(root, TRAIL_MOUNT);
}

/** The mount for owners' records, which the control plane may not change. */
async function enableOwners(root: VaultClient): Promise<void> {
  await enableSecretsEngines(root, { [OWNERS_MOUNT]: { type: "kv", options: { version: "2" } } });
  await whenUpgraded(root, OWNERS_MOUNT);
}

const AUTHORITY_TTL = "87600h";

/** The authority for organizations' certificates. Its own certificate constrains it to organizations' names. */
async function createAuthority(root: VaultClient, maxTtlSeconds: number): Promise<void> {
  if (!(await ifFound(root.list("pki/issuers")))) {
    await root.write("pki/root/generate/internal", {
      common_name: "Strongroom organizations",
      issuer_name: "organizations",
      key_type: "ec",
      key_bits: 256,
      ttl: AUTHORITY_TTL,
      max_path_length: 0,
      permitted_dns_domains: [ORG_DOMAIN],
    });
  }
  await root.write(`pki/roles/${ORG_CERTIFICATE_ROLE}`, {
    allowed_domains: [ORG_DOMAIN],
    allow_subdomains: true,
    allow_wildcard_certificates: false,
    allow_localhost: false,
    allow_ip_sans: false,
    // The name is a parameter of the request, where the audit log shows it.
    use_csr_common_name: false,
    use_csr_sans: false,
    server_flag: true,
    client_flag: false,
    key_type: "ec",
    key_bits: 256,
    key_usage: ["DigitalSignature"],
    ttl: maxTtlSeconds,
    max_ttl: maxTtlSeconds,
    no_store: false,
  });
  // Expired certificates are removed, so that neither the store nor the CRL grows without bound.
  await root.write("pki/config/auto-tidy", {
    enabled: true,
    interval_duration: "24h",
    safety_buffer: "72h",
    tidy_cert_store: true,
    tidy_revoked_certs: true,
  });
}

async function allowUnsealTokens(root: VaultClient, periodSeconds: number): Promise<void> {
  const accessor = (await authMethods(root)).get("token")?.accessor;
  if (!accessor) throw new Error("the internal Vault does not report the token mount's accessor");
  await writePolicy(root, UNSEAL_ROLE, policyText("unseal").replaceAll("TOKEN_MOUNT", accessor));
  await root.write(`auth/token/roles/${UNSEAL_ROLE}`, {
    allowed_policies: [UNSEAL_ROLE],
    allowed_entity_aliases: ["org-*"],
    orphan: true,
    renewable: true,
    token_period: periodSeconds,
    token_type: "service",
    token_no_default_policy: true,
  });
}
