import type { Logger } from "pino";
import { StrongroomError } from "../shared/errors.ts";
import type { InstanceSpec } from "../shared/instance-spec.ts";
import { type Issuer, orgServerName } from "../shared/org.ts";
import { orgParameters, type ParameterStore } from "../shared/parameters/store.ts";
import type { Secret } from "../shared/secret.ts";
import { type VaultClient, type VaultEndpoint, vaultClient } from "../shared/vault/client.ts";
import type { OrgVaultSettings } from "../shared/vault/org-vault.ts";
import type { PlatformTrust } from "../shared/vault/platform-trust.ts";
import { orgServerConfig } from "../shared/vault/server-config.ts";
import type { Failpoint } from "./jobs/workflow.ts";
import type { DirectoryPublisher } from "./publish/directory.ts";
import type { RevocationPublisher } from "./publish/revocations.ts";
import type { OrgRecord } from "./registry/records.ts";
import type { Registry } from "./registry/registry.ts";
import type { Runtime } from "./runtime/runtime.ts";
import type { Trail } from "./trail.ts";

/** The control plane's dependencies. */
export interface Platform {
  /** The internal Vault, with the control plane's own login. */
  vault: VaultClient;
  registry: Registry;
  directory: DirectoryPublisher;
  revocations: RevocationPublisher;
  trail: Trail;
  parameters: ParameterStore;
  /** Like `/strongroom`. */
  parameterPrefix: string;
  runtime: Runtime;
  /** PEM of the CA of the organizations' certificates. */
  ca: string;
  /** The endpoint at which the organizations' Vaults unseal themselves. */
  internalVault: VaultEndpoint;
  /** Lifetime of an organization's server certificate, in seconds. */
  certificateSeconds: number;
  /** The configured issuers; the first is the default. */
  issuers: [Issuer, ...Issuer[]];
  /** Base64 PGP keys to which recovery keys are encrypted by default. */
  recoveryPgpKeys: string[];
  /** An issuer's current public signing keys, as PEM. */
  issuerKeys(issuer: Issuer): Promise<string[]>;
  /** The keys and certificates by which the organizations' Vaults trust the platform. */
  trust(): Promise<PlatformTrust>;
  log: Logger;
  now(): Date;
  failpoint: Failpoint;
}

/** An organization's record. Throws `not_found`. */
export async function orgRecord(platform: Platform, org: string): Promise<OrgRecord> {
  const found = await platform.registry.orgs.read(org);
  if (!found) throw new StrongroomError("not_found", "There is no such organization.");
  return found.value;
}

/** A client of an organization's Vault, whose certificate must name the organization. */
export function orgClient(
  platform: Platform,
  record: OrgRecord,
  token?: () => Secret,
  timeoutMs?: number,
): VaultClient {
  return vaultClient(orgEndpoint(platform, record), token, timeoutMs);
}

export function orgEndpoint({ ca }: Platform, { id, listen }: OrgRecord) {
  return { address: `https://${listen}`, ca, serverName: orgServerName(id) };
}

/** The internal Vault's CA, in an instance's own folder. */
const INTERNAL_CA = "tls/internal-vault-ca.pem";

/** The instance that an organization's record asks for. */
export function instanceSpec(platform: Platform, record: OrgRecord): InstanceSpec {
  const { id: org, attempt, listen, restart, reload } = record;
  if (listen === undefined) throw new Error(`${org}: the organization has no address yet`);
  const parameters = orgParameters(platform.parameterPrefix, org);
  const { address, ca } = platform.internalVault;
  return {
    org,
    attempt,
    listen,
    config: orgServerConfig({
      org,
      place: platform.runtime.place(org, attempt, listen),
      internalVault: { address, ...(ca !== undefined && { caFile: `{dir}/${INTERNAL_CA}` }) },
    }),
    environment: {},
    ...(ca !== undefined && { files: [{ file: INTERNAL_CA, content: ca }] }),
    secrets: [
      { environment: "VAULT_TOKEN", parameter: parameters.unsealToken },
      { file: "tls/certificate.pem", parameter: parameters.certificate },
      { file: "tls/key.pem", parameter: parameters.key },
    ],
    restart,
    reload,
  };
}

/** The desired configuration of an organization's Vault. */
export async function orgVaultSettings(platform: Platform, record: OrgRecord): Promise<OrgVaultSettings> {
  const [issuerKeys, trust] = await Promise.all([platform.issuerKeys(record.issuer), platform.trust()]);
  return {
    org: record.id,
    claim: record.claim,
    issuer: record.issuer,
    issuerKeys,
    machineTokens: record.machineTokens === true,
    trust,
    auditFiles: platform.runtime.auditFiles(record.id, record.attempt),
  };
}
