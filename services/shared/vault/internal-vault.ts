import { TRAIL_HEAD_HEADER, TRAIL_MOUNT } from "../audit/trail.ts";
import { ORG_DOMAIN } from "../org.ts";
import { OWNERS_MOUNT, OWNERSHIP_KEY } from "../registry/owners.ts";
import { Secret } from "../secret.ts";
import { auditHeader, enableAudit, fileAudit } from "./audit.ts";
import { ifFound, type VaultClient } from "./client.ts";
import { createClientAuthorities } from "./client-authority.ts";
import { sealStatus } from "./init.ts";
import { whenUpgraded } from "./kv.ts";
import { authMethods, enableAuthMethods, enableSecretsEngines } from "./mounts.ts";
import { allowOperator } from "./operator.ts";
import { caCertificate, ORG_CERTIFICATE_ROLE } from "./pki.ts";
import { OBSERVE } from "./platform-jwt.ts";
import { policyText, writePolicy } from "./policies.ts";
import { limitRecovery } from "./recovery-quota.ts";
import { UNSEAL_ROLE } from "./tokens.ts";
import { createSigningKey, publicKeys } from "./transit.ts";

export interface InternalVaultSettings {
  /** Period of unseal tokens. The default, 768 h, is Vault's own maximum. */
  unsealTokenPeriodSeconds?: number;
  /** The longest life of an organization's server certificate. */
  certificateMaxTtlSeconds: number;
  /** PEM of the public half of the operator's key: whoever holds the other half may open `platform-maintain`. */
  operatorKey: string;
  /** Absolute path of the audit log; undefined where none is kept. */
  auditFile: string | undefined;
}

/** What the control plane and the gateways are given of the internal Vault. */
export interface InternalVaultIdentity {
  roleId: Secret;
  secretId: Secret;
  /** PEM of the key the directory is signed by. */
  directoryKey: string;
  /** PEM of the key that operators sign statements of ownership by. */
  ownershipKey: string;
  /** PEM of the authority behind the organizations' certificates. */
  ca: string;
  clusterId: string;
}

const DIRECTORY_KEY = "directory";
const CONTROL_PLANE = "control-plane";
const CONTROL_PLANE_PERIOD_SECONDS = 3600;
const DEFAULT_PERIOD_SECONDS = 768 * 3600;

/**
 * Brings a new internal Vault into its form, with its root token. May be run again after a crash: what is
 * there stays, and the control plane's older secret ids end. Does not revoke the root token.
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
  await Promise.all([OBSERVE, DIRECTORY_KEY, OWNERSHIP_KEY].map((key) => createSigningKey(root, key)));
  await createAuthority(root, settings.certificateMaxTtlSeconds);
  await createClientAuthorities(root);
  await allowUnsealTokens(root, settings.unsealTokenPeriodSeconds ?? DEFAULT_PERIOD_SECONDS);
  const { clusterId } = await sealStatus(root);
  if (!clusterId) throw new Error("the internal Vault does not show its cluster id");
  await allowOperator(root, settings.operatorKey, clusterId);
  await enableTrail(root);
  await enableOwners(root);
  const login = await allowControlPlane(root);
  await limitRecovery(root);
  await whenUpgraded(root, "registry");

  const [ca, directoryKey, ownershipKey] = await Promise.all([
    caCertificate(root),
    newestPublicKey(root, DIRECTORY_KEY),
    newestPublicKey(root, OWNERSHIP_KEY),
  ]);
  return { ...login, directoryKey, ownershipKey, ca, clusterId };
}

async function newestPublicKey(root: VaultClient, name: string): Promise<string> {
  const key = (await publicKeys(root, name)).at(-1);
  if (!key) throw new Error(`the internal Vault does not show the key ${name}`);
  return key;
}

/** The trail's own mount, and its head in clear in the audit log: what is written anew there differs from that. */
async function enableTrail(root: VaultClient): Promise<void> {
  await enableSecretsEngines(root, { [TRAIL_MOUNT]: { type: "kv", options: { version: "2" } } });
  await auditHeader(root, TRAIL_HEAD_HEADER);
  await whenUpgraded(root, TRAIL_MOUNT);
}

/** Who owns which organization, apart from what the control plane may change. */
async function enableOwners(root: VaultClient): Promise<void> {
  await enableSecretsEngines(root, { [OWNERS_MOUNT]: { type: "kv", options: { version: "2" } } });
  await whenUpgraded(root, OWNERS_MOUNT);
}

const AUTHORITY_TTL = "87600h";

/** The authority can vouch for organizations' names alone: its certificate says so to every client. */
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
    // The name stands beside the request, where the audit log shows it.
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
  // Those that have ended are forgotten, so that neither the store nor the list of the revoked grows for ever.
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
  if (!accessor) throw new Error("the internal Vault does not show the token mount's accessor");
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

async function allowControlPlane(root: VaultClient): Promise<{ roleId: Secret; secretId: Secret }> {
  await writePolicy(root, CONTROL_PLANE);
  // A secret id is random and long: guessing is hopeless, and locking out would be anyone's who knows the role.
  await root.write("sys/auth/approle/tune", { user_lockout_config: { lockout_disable: true } });
  const role = `auth/approle/role/${CONTROL_PLANE}`;
  await root.write(role, {
    bind_secret_id: true,
    token_policies: [CONTROL_PLANE],
    token_no_default_policy: true,
    token_type: "service",
    token_period: CONTROL_PLANE_PERIOD_SECONDS,
  });
  const older = await ifFound(root.list(`${role}/secret-id`));
  for (const secret_id_accessor of (older?.data as { keys: string[] } | undefined)?.keys ?? []) {
    await root.write(`${role}/secret-id-accessor/destroy`, { secret_id_accessor });
  }
  const { data: roleId } = (await root.read(`${role}/role-id`)) as { data: { role_id: string } };
  const { data: secretId } = (await root.write(`${role}/secret-id`)) as { data: { secret_id: string } };
  return { roleId: new Secret(roleId.role_id), secretId: new Secret(secretId.secret_id) };
}
