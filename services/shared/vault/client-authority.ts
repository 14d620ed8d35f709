import { ifFound, type VaultClient } from "./client.ts";
import { enableSecretsEngines } from "./mounts.ts";

/** The mounts of every org Vault that are opened by a client certificate; each is named like its role and policy. */
export const CLIENT_MOUNTS = ["platform-maintain", "platform-backup"] as const;
export type ClientMount = (typeof CLIENT_MOUNTS)[number];

/** The internal Vault's PKI mount that signs for a mount. One each, so that neither's certificates open the other. */
export const clientAuthority = (mount: ClientMount): string => `pki-${mount}`;
/** The one role of each. */
export const CLIENT_ROLE = "org-client";

const AUTHORITY_TTL = "87600h";
const CERTIFICATE_SECONDS = 120;

/**
 * Makes the authorities behind the client certificates, each with a PKI mount of its own. Their audit log shows
 * in clear for which organization a certificate is, and its serial number, which the login of the other side shows.
 */
export async function createClientAuthorities(root: VaultClient): Promise<void> {
  const config = {
    max_lease_ttl: AUTHORITY_TTL,
    audit_non_hmac_request_keys: ["common_name"],
    audit_non_hmac_response_keys: ["serial_number"],
  };
  const mounts = CLIENT_MOUNTS.map((mount) => [clientAuthority(mount), { type: "pki", config }]);
  await enableSecretsEngines(root, Object.fromEntries(mounts));
  // One after the other: if one fails, nothing of the other is under way when this is run again.
  for (const mount of CLIENT_MOUNTS) await createClientAuthority(root, mount);
}

async function createClientAuthority(root: VaultClient, mount: ClientMount): Promise<void> {
  const path = clientAuthority(mount);
  if (!(await ifFound(root.list(`${path}/issuers`)))) {
    await root.write(`${path}/root/generate/internal`, {
      common_name: `Strongroom ${mount}`,
      issuer_name: mount,
      key_type: "ec",
      key_bits: 256,
      ttl: AUTHORITY_TTL,
      max_path_length: 0,
    });
  }
  await root.write(`${path}/roles/${CLIENT_ROLE}`, {
    // An organization's id is no name of any domain.
    allow_any_name: true,
    allow_wildcard_certificates: false,
    allow_localhost: false,
    allow_ip_sans: false,
    use_csr_common_name: false,
    use_csr_sans: false,
    server_flag: false,
    client_flag: true,
    key_type: "ec",
    key_bits: 256,
    key_usage: ["DigitalSignature"],
    ttl: CERTIFICATE_SECONDS,
    max_ttl: CERTIFICATE_SECONDS,
    // It ends sooner than anybody could revoke it.
    no_store: true,
  });
}
