import { unsealKeyName } from "./transit.ts";

/** Settings of every Vault server here, without unused features. */
const COMMON = {
  ui: false,
  log_format: "json",
  log_level: "info",
};

/**
 * Request limits of an organization's Vault: the gateway's own (check-body.ts), for clients that reach it another way.
 * Vault hashes each name and value for its audit devices, even for a request that it denies.
 */
const ORG_REQUESTS = {
  max_request_size: 1024 * 1024,
  max_json_depth: 100,
  max_json_string_value_length: 1024 * 1024,
  max_json_object_entry_count: 4_000,
  max_json_array_element_count: 4_000,
  // Five tokens an entry: a name, a colon, two braces and a comma.
  max_json_token: 20_100,
};

/** Request limits of the internal Vault: an entry of 1 MiB in base64, with overhead and a margin. */
export const INTERNAL_REQUESTS = { max_request_size: 4 * 1024 * 1024 };

/** The settings of a server that depend on where it runs. */
export interface ServerPlace {
  /** `host:port` of the API, as the server itself sees it; the cluster port is the next one. */
  listen: string;
  storage: Record<string, unknown>;
  /** Whether to lock its memory, so that no secret is swapped out. */
  mlock: boolean;
}

/**
 * The configuration of an organization's Vault. `{dir}` in it stands for the instance's own folder, and `{address}` for
 * an address that is known only once it runs. It does not contain the unseal token, which the process gets as
 * `VAULT_TOKEN`.
 */
export function orgServerConfig({
  org,
  place: { listen, storage, mlock },
  internalVault,
}: {
  org: string;
  place: ServerPlace;
  /** `http(s)://host:port`, and for https the file with the authority that issued its certificate. */
  internalVault: { address: string; caFile?: string };
}): Record<string, unknown> {
  return {
    ...COMMON,
    disable_mlock: !mlock,
    storage,
    ...addresses("https", listen),
    listener: {
      tcp: {
        address: listen,
        tls_cert_file: "{dir}/tls/certificate.pem",
        tls_key_file: "{dir}/tls/key.pem",
        tls_min_version: "tls13",
        ...ORG_REQUESTS,
      },
    },
    seal: {
      transit: {
        address: internalVault.address,
        ...(internalVault.caFile !== undefined && { tls_ca_cert: internalVault.caFile }),
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
    disable_mlock: true,
    storage: raftStorage(`${dir}/raft`, "internal"),
    ...addresses("http", listen),
    listener: { tcp: { address: listen, tls_disable: true, ...INTERNAL_REQUESTS } },
  };
}

/** Raft on a local disk, with a single node and so the shortest election timeouts. */
export const raftStorage = (path: string, nodeId: string) => ({
  raft: { path, node_id: nodeId, performance_multiplier: "1" },
});

/** A DynamoDB table, with a lock in it that elects one of several servers. */
export const dynamodbStorage = (table: string, region: string) => ({
  dynamodb: { table, region, ha_enabled: "true" },
});

function addresses(scheme: string, listen: string): Record<string, unknown> {
  const colon = listen.lastIndexOf(":");
  const clusterPort = Number(listen.slice(colon + 1)) + 1;
  return {
    api_addr: `${scheme}://${listen}`,
    cluster_addr: `https://${listen.slice(0, colon)}:${clusterPort}`,
  };
}
