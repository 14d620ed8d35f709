import type { VaultClient } from "./client.ts";
import { enableAuthMethods } from "./mounts.ts";

/** A mount for logins with TLS client certificates: one authority and one role, named after the mount. */
export interface CertMount {
  /** PEM. */
  authority: string;
  /** The common name that a certificate must have; Vault treats `*` in it as a wildcard. */
  commonName: string;
  policy: string;
  ttlSeconds: number;
  /** The number of requests that a token allows. Without it, tokens are batch tokens, which Vault does not store. */
  uses?: number;
}

/** The settings of a certificate mount at `config`. */
export const certConfig = {
  disable_binding: false,
  enable_identity_alias_metadata: false,
};

/** All settings of a role, since a write leaves unnamed settings as they are. */
export const certRole = (name: string, mount: CertMount) => ({
  certificate: mount.authority.trim(),
  display_name: name,
  allowed_common_names: [mount.commonName],
  allowed_names: [],
  allowed_dns_sans: [],
  allowed_email_sans: [],
  allowed_uri_sans: [],
  allowed_organizational_units: [],
  required_extensions: [],
  allowed_metadata_extensions: [],
  ocsp_enabled: false,
  ocsp_ca_certificates: "",
  ocsp_servers_override: [],
  ocsp_fail_open: false,
  ocsp_query_all_servers: false,
  ocsp_max_retries: 4,
  token_policies: [mount.policy],
  token_no_default_policy: true,
  token_bound_cidrs: [],
  token_ttl: mount.ttlSeconds,
  token_max_ttl: mount.ttlSeconds,
  token_period: 0,
  token_type: mount.uses === undefined ? "batch" : "service",
  token_num_uses: mount.uses ?? 0,
  token_explicit_max_ttl: mount.uses === undefined ? 0 : mount.ttlSeconds,
});

/** Enables and configures the mounts, by path, with their role. */
export async function configureCertMounts(
  client: VaultClient,
  mounts: Record<string, CertMount>,
): Promise<void> {
  await enableAuthMethods(client, Object.fromEntries(Object.keys(mounts).map((path) => [path, "cert"])));
  const configured = Object.entries(mounts).map(async ([path, mount]) => {
    await client.write(`auth/${path}/config`, certConfig);
    await client.write(`auth/${path}/certs/${path}`, certRole(path, mount));
  });
  await Promise.all(configured);
}
