import { type Issuer, LEVELS } from "../org.ts";
import {
  auditDevices,
  auditedHeaders,
  auditHeader,
  dropAuditedHeader,
  enableAudit,
  type FileAudit,
  fileAudit,
} from "./audit-devices.ts";
import { type CertMount, certConfig, certRole, configureCertMounts } from "./cert-auth.ts";
import { ifFound, type VaultClient } from "./client.ts";
import { CLIENT_MOUNTS, type ClientMount } from "./client-authority.ts";
import { compareClientCounts, enableClientCounts } from "./client-counts.ts";
import { compareFields, compareNames } from "./differences.ts";
import { configureJwtMounts, type JwtMount, type JwtRole, jwtConfig, jwtRole } from "./jwt-auth.ts";
import { compareKeys, KEY_MISSING, KEY_TO_REMOVE } from "./jwt-validation-keys.ts";
import { whenUpgraded } from "./kv.ts";
import { MACHINE_ISSUER_ROLE, MACHINE_ROLE, MACHINE_ROLE_PATH, machineRole } from "./machine-tokens.ts";
import { authMethods, enableSecretsEngines, type Mount, secretsEngines } from "./mounts.ts";
import { OBSERVE, OBSERVE_ISSUER, PLATFORM_JWT_SECONDS } from "./platform-jwt.ts";
import type { PlatformTrust } from "./platform-trust.ts";
import { ORG_POLICIES, policyText, writePolicy } from "./policies.ts";

export interface OrgVaultSettings {
  org: string;
  /** The identity provider's id for the organization. */
  claim: string;
  issuer: Issuer;
  /** The issuer's public keys, PEM. */
  issuerKeys: string[];
  /** Whether its admins may create tokens for machines that have no JWT. */
  machineTokens: boolean;
  /** The platform's keys that it trusts. */
  trust: PlatformTrust;
  /** The destinations of the two audit devices, as the Vault sees them: paths, or `stdout`. */
  auditFiles: readonly [string, string];
}

const TENANT_TOKEN_SECONDS = 60;
const CLIENT_TOKEN_SECONDS = 60;
/**
 * More requests than one run of {@link configureOrgVault} and {@link compareOrgVault} makes. The limit requires a token
 * that Vault stores: batch tokens have no use limit, and their requests no accessor in the audit log.
 */
const MAINTAIN_USES = 200;
const REQUEST_ID_HEADER = "x-request-id";
/** The request id, and the headers that Vault records by default. */
const AUDITED_HEADERS = [REQUEST_ID_HEADER, "correlation-id", "user-agent", "x-correlation-id"];
const SECRETS = { secret: { type: "kv", options: { version: "2" } }, transit: { type: "transit" } };
const BUILT_IN_ENGINES = ["cubbyhole", "identity", "sys"];
const BUILT_IN_POLICIES = ["default", "root"];

/**
 * Configures an organization's Vault. May be run again, after a crash or to repair drift: it also removes policies,
 * roles, groups and audited headers that are not the platform's. It does not change unexpected mounts or devices, or a
 * mount's tuning: {@link compareOrgVault} reports those for an operator to review.
 */
export async function configureOrgVault(client: VaultClient, settings: OrgVaultSettings): Promise<void> {
  const { jwt, cert } = authMounts(settings);
  await enableAudit(client, devices(settings));
  await auditHeader(client, REQUEST_ID_HEADER);
  await enableSecretsEngines(client, SECRETS);
  await Promise.all(ORG_POLICIES.map((name) => writePolicy(client, name)));
  await configureJwtMounts(client, jwt);
  await configureCertMounts(client, cert);
  if (settings.machineTokens) await client.write(MACHINE_ROLE_PATH, machineRole);
  await enableClientCounts(client);
  for (const path of await unmanagedPaths(client, settings)) await client.delete(path);
  for (const header of await auditedHeaders(client)) {
    if (!AUDITED_HEADERS.includes(header)) await dropAuditedHeader(client, header);
  }
  await whenUpgraded(client, "secret");
}

/**
 * Reads an organization's Vault back and returns the differences from the desired configuration as text; empty if there
 * are none. Without `sudo` (`platform-observe`), audit devices and audited headers are skipped, since reading them
 * requires it.
 */
export async function compareOrgVault(
  client: VaultClient,
  settings: OrgVaultSettings,
  { sudo }: { sudo: boolean },
): Promise<string[]> {
  const { jwt, cert } = authMounts(settings);
  const [engines, methods] = await Promise.all([secretsEngines(client), authMethods(client)]);
  const differences = [
    ...compareNames("secrets engine", [...Object.keys(SECRETS), ...BUILT_IN_ENGINES], [...engines.keys()]),
    ...compareNames("auth method", [...Object.keys(jwt), ...Object.keys(cert), "token"], [...methods.keys()]),
    ...Object.entries(SECRETS).flatMap(([path, engine]) => compareMount(path, engine, engines.get(path))),
    ...Object.keys(jwt).flatMap((path) => compareMount(path, { type: "jwt" }, methods.get(path))),
    ...Object.keys(cert).flatMap((path) => compareMount(path, { type: "cert" }, methods.get(path))),
    ...(await comparePolicies(client)),
    ...(await compareClientCounts(client)),
    ...(await unmanagedPaths(client, settings)).map((path) => `${path} is not expected`),
  ];
  for (const [path, mount] of Object.entries(jwt)) {
    if (methods.get(path)?.type !== "jwt") continue;
    differences.push(...(await compareJwtConfig(client, path, mount)));
    for (const [name, role] of Object.entries(mount.roles)) {
      differences.push(...(await compareSettings(client, `auth/${path}/role/${name}`, jwtRole(role))));
    }
  }
  for (const [path, mount] of Object.entries(cert)) {
    if (methods.get(path)?.type !== "cert") continue;
    differences.push(
      ...(await compareSettings(client, `auth/${path}/config`, certConfig)),
      ...(await compareSettings(client, `auth/${path}/certs/${path}`, certRole(path, mount))),
    );
  }
  if (settings.machineTokens)
    differences.push(...(await compareSettings(client, MACHINE_ROLE_PATH, machineRole)));
  if (sudo) differences.push(...(await compareAudit(client, settings)));
  return differences;
}

/** The auth mounts, one for each party. */
function authMounts({ org, claim, issuer, issuerKeys, machineTokens, trust }: OrgVaultSettings): {
  jwt: Record<string, JwtMount>;
  cert: Record<string, CertMount>;
} {
  const level = (policy: string, group: Record<string, string>): JwtRole => ({
    audience: issuer.audience,
    claims: { [issuer.orgClaim]: claim, ...group },
    singleValued: issuer.orgClaim,
    policy,
    ttlSeconds: TENANT_TOKEN_SECONDS,
  });
  const tenant: JwtMount = {
    issuer: issuer.issuer,
    algorithms: issuer.algorithms,
    keys: issuerKeys,
    roles: Object.fromEntries(
      LEVELS.map((name) => [name, level(name, name === "reader" ? {} : { [issuer.groupsClaim]: name })]),
    ),
  };
  if (machineTokens) {
    const admins = level(MACHINE_ISSUER_ROLE, { [issuer.groupsClaim]: "admin" });
    tenant.roles[MACHINE_ISSUER_ROLE] = { ...admins, makesTokens: true };
  }
  const observe: JwtMount = {
    issuer: OBSERVE_ISSUER,
    algorithms: ["ES256"],
    keys: trust.observeKeys,
    roles: {
      [OBSERVE]: { audience: org, claims: {}, policy: OBSERVE, ttlSeconds: PLATFORM_JWT_SECONDS },
    },
  };
  const byCertificate = (mount: ClientMount): CertMount => ({
    authority: trust.authorities[mount],
    commonName: org,
    policy: mount,
    ttlSeconds: CLIENT_TOKEN_SECONDS,
    ...(mount === "platform-maintain" ? { uses: MAINTAIN_USES } : {}),
  });
  return {
    jwt: { jwt: tenant, [OBSERVE]: observe },
    cert: Object.fromEntries(CLIENT_MOUNTS.map((mount) => [mount, byCertificate(mount)])),
  };
}

/**
 * Vault refuses a request that no device can record. The two devices share neither a file nor settings, so neither a
 * lost file nor an entry too large for one stops the organization. On one disk, however, they fill up together.
 */
const devices = ({ auditFiles: [first, second] }: OrgVaultSettings): Record<string, FileAudit> => ({
  "audit-1": fileAudit(first),
  "audit-2": fileAudit(second, { elide_list_responses: "true" }),
});

/** Paths of policies, roles and groups that are not the platform's: each could be a backdoor. */
async function unmanagedPaths(client: VaultClient, settings: OrgVaultSettings): Promise<string[]> {
  const { jwt, cert } = authMounts(settings);
  const expected: [folder: string, names: readonly string[]][] = [
    ["sys/policies/acl", [...ORG_POLICIES, ...BUILT_IN_POLICIES]],
    ...Object.entries(jwt).map(([path, { roles }]): [string, string[]] => [
      `auth/${path}/role`,
      Object.keys(roles),
    ]),
    ...Object.keys(cert).map((path): [string, string[]] => [`auth/${path}/certs`, [path]]),
    ["auth/token/roles", settings.machineTokens ? [MACHINE_ROLE] : []],
    ["identity/group/id", []],
  ];
  const found = expected.map(async ([folder, names]) => {
    const present = await listNames(client, folder);
    return present.filter((name) => !names.includes(name)).map((name) => `${folder}/${name}`);
  });
  return (await Promise.all(found)).flat();
}

async function listNames(client: VaultClient, path: string): Promise<string[]> {
  const body = await ifFound(client.list(path));
  return (body?.data as { keys?: string[] } | undefined)?.keys ?? [];
}

async function comparePolicies(client: VaultClient): Promise<string[]> {
  const compared = ORG_POLICIES.map((name) =>
    compareSettings(client, `sys/policies/acl/${name}`, { name, policy: policyText(name) }),
  );
  return (await Promise.all(compared)).flat();
}

async function compareAudit(client: VaultClient, settings: OrgVaultSettings): Promise<string[]> {
  const wanted = devices(settings);
  const present = await auditDevices(client);
  const headers = await auditedHeaders(client);
  return [
    ...compareNames("audit device", Object.keys(wanted), [...present.keys()]),
    ...Object.entries(wanted).flatMap(([name, { type, options }]) => {
      const found = present.get(name);
      if (!found) return [];
      return compareFields(
        `audit device ${name}`,
        { type, ...options },
        { type: found.type, ...found.options },
      );
    }),
    ...compareNames("audited header", AUDITED_HEADERS, headers),
  ];
}

function compareMount(path: string, wanted: Partial<Mount>, mount: Mount | undefined): string[] {
  if (!mount) return [];
  // Above all `audit_non_hmac_*`, which would put secrets into the audit log in clear.
  const { default_lease_ttl, max_lease_ttl, force_no_cache, token_type, ...tuned } = mount.config;
  const { type, options } = mount;
  return compareFields(path, { type: wanted.type, options: wanted.options }, { type, options, ...tuned });
}

/**
 * Differences in keys have their own texts: they come from the issuer's rotations, and another command repairs them.
 */
async function compareJwtConfig(client: VaultClient, path: string, mount: JwtMount): Promise<string[]> {
  const where = `auth/${path}/config`;
  const body = await ifFound(client.read(where));
  if (!body) return [`${where} is missing`];
  const { jwt_validation_pubkeys: present, ...rest } = body.data as { jwt_validation_pubkeys?: string[] };
  const { jwt_validation_pubkeys: wanted, ...config } = jwtConfig(mount);
  const { added, removed } = compareKeys(wanted, present ?? []);
  return [
    ...compareFields(where, config, rest),
    ...(added.length > 0 ? [`${where}: ${KEY_MISSING}`] : []),
    ...(removed.length > 0 ? [`${where}: ${KEY_TO_REMOVE}`] : []),
  ];
}

async function compareSettings(client: VaultClient, path: string, wanted: object): Promise<string[]> {
  const body = await ifFound(client.read(path));
  if (!body) return [`${path} is missing`];
  return compareFields(path, wanted, body.data as object);
}
