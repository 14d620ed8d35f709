import { unsealKeyName } from "./transit.ts";

/** Vault's settings that every server here has: nothing on offer that nobody uses. */
const COMMON = {
  disable_mlock: true,
  ui: false,
  log_format: "json",
  log_level: "info",
};

/**
 * The configuration of an organization's Vault. `{dir}` in it stands for the instance's own folder;
 * `listen` is `host:port` of the API, and raft's cluster port is the next one. The unseal token is not part
 * of it: the process gets it as `VAULT_TOKEN`.
 */
export function orgServerConfig({
  org,
  listen,
  internalVaultAddress,
}: {
  org: string;
  listen: string;
  internalVaultAddress: string;
}): Record<string, unknown> {
  return {
    ...COMMON,
    ...raft("{dir}/raft", org, "https", listen),
    listener: {
      tcp: {
        address: listen,
        tls_cert_file: "{dir}/tls/certificate.pem",
        tls_key_file: "{dir}/tls/key.pem",
        tls_min_version: "tls13",
        tls_disable_client_certs: true,
      },
    },
    seal: {
      transit: {
        address: internalVaultAddress,
        key_name: unsealKeyName(org),
        mount_path: "transit/",
        disable_renewal: "false",
      },
    },
  };
}

/** The configuration of the internal Vault on one machine: raft in `dir`, plain HTTP on loopback. */
export function internalServerConfig({
  dir,
  listen,
}: {
  dir: string;
  listen: string;
}): Record<string, unknown> {
  return {
    ...COMMON,
    ...raft(`${dir}/raft`, "internal", "http", listen),
    listener: { tcp: { address: listen, tls_disable: true } },
  };
}

function raft(path: string, nodeId: string, scheme: string, listen: string): Record<string, unknown> {
  const colon = listen.lastIndexOf(":");
  const clusterPort = Number(listen.slice(colon + 1)) + 1;
  return {
    // Elections within a second or two: there is only one node, and it waits for nobody.
    storage: { raft: { path, node_id: nodeId, performance_multiplier: "1" } },
    api_addr: `${scheme}://${listen}`,
    cluster_addr: `https://${listen.slice(0, colon)}:${clusterPort}`,
  };
}
