import { unsealKeyName } from "./transit.ts";

/** Vault's settings that every server here has: nothing on offer that nobody uses. */
const COMMON = {
  ui: false,
  log_format: "json",
  log_level: "info",
};

/**
 * What an organization's Vault reads of a request at most: what the gateway lets through (check-body.ts), for
 * whoever else reaches it. It hashes each name and value for its audit devices, also of a request that it denies.
 */
const ORG_REQUESTS = {
  max_request_size: 1024 * 1024,
  max_json_depth: 100,
  max_json_string_value_length: 1024 * 1024,
  max_json_object_entry_count: 4_000,
  max_json_array_element_count: 4_000,
  // A name, a colon, two braces and a comma are five.
  max_json_token: 20_100,
};

/** What the internal Vault reads of a request: an entry of 1 MiB in base64, with what belongs to it, and spare. */
export const INTERNAL_REQUESTS = { max_request_size: 4 * 1024 * 1024 };

/** What of a server's settings depends on where it runs. */
export interface ServerPlace {
  /** `host:port` of the API, as the server itself knows it; the cluster's port is the next one. */
  listen: string;
  storage: Record<string, unknown>;
  /** Whether its memory may be locked, so that no secret is swapped out. */
  mlock: boolean;
}

/**
 * The configuration of an organization's Vault. `{dir}` in it stands for the instance's own folder, and
 * `{address}` for an address that is only known where it runs. The unseal token is not part of it: the
 * process gets it as `VAULT_TOKEN`.
 */
export function orgServerConfig({
  org,
  place: { listen, storage, mlock },
  internalVault,
}: {
  org: string;
  place: ServerPlace;
  /** `http(s)://host:port`, and the file with the authority behind its certificate where it is https. */
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

/** Raft on a local disk. Elections within a second or two: there is only one node, and it waits for nobody. */
export const raftStorage = (path: string, nodeId: string) => ({
  raft: { path, node_id: nodeId, performance_multiplier: "1" },
});

/** A DynamoDB table, and a lock in it that elects one of several servers. */
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
