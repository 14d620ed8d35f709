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

/** What the control plane acts on and with. */
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
  /** PEM of the authority behind the organizations' certificates. */
  ca: string;
  /** Where the organizations' Vaults find their unseal keys. */
  internalVault: VaultEndpoint;
  /** Lifetime of an organization's server certificate. */
  certificateSeconds: number;
  /** The configured issuers; the first is the default. */
  issuers: [Issuer, ...Issuer[]];
  /** Base64 PGP keys that recovery keys are encrypted to where the organization brings none. */
  recoveryPgpKeys: string[];
  /** The public keys, PEM, that an issuer signs with now. */
  issuerKeys(issuer: Issuer): Promise<string[]>;
  /** What the organizations' Vaults should know the platform by. */
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

/** A client of an organization's Vault, which has to prove by its certificate that it is that one. */
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

/** The internal Vault's authority, in an instance's own folder. */
const INTERNAL_CA = "tls/internal-vault-ca.pem";

/** What should run for an organization, as its record says it. */
export function instanceSpec(platform: Platform, record: OrgRecord): InstanceSpec {
  const { id: org, attempt, listen, restart, reload } = record;
  if (listen === undefined) throw new Error(`${org}: it has no address yet`);
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

/** How an organization's Vault should be configured. */
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
