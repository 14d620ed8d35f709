import { expect, test } from "vitest";
import {
  dynamodbStorage,
  internalServerConfig,
  orgServerConfig,
  raftStorage,
} from "../../../services/shared/vault/server-config.ts";

test("an organization's Vault speaks TLS only, is sealed by its own key, and holds no token", () => {
  const config = orgServerConfig({
    org: "oaaaaaaaaaaaaaaa",
    place: {
      listen: "127.0.0.1:8300",
      storage: raftStorage("{dir}/raft", "oaaaaaaaaaaaaaaa"),
      mlock: false,
    },
    internalVault: { address: "http://127.0.0.1:8100" },
  });
  expect(config).toMatchObject({
    api_addr: "https://127.0.0.1:8300",
    cluster_addr: "https://127.0.0.1:8301",
    ui: false,
    disable_mlock: true,
    storage: { raft: { path: "{dir}/raft", node_id: "oaaaaaaaaaaaaaaa", performance_multiplier: "1" } },
    listener: { tcp: { address: "127.0.0.1:8300", tls_cert_file: "{dir}/tls/certificate.pem" } },
    seal: { transit: { address: "http://127.0.0.1:8100", key_name: "org-oaaaaaaaaaaaaaaa" } },
  });
  expect(config.listener).toMatchObject({
    tcp: {
      ...{ max_request_size: 1_048_576, max_json_depth: 100, max_json_string_value_length: 1_048_576 },
      ...{ max_json_object_entry_count: 4_000, max_json_array_element_count: 4_000, max_json_token: 20_100 },
    },
  });
  expect(JSON.stringify(config)).not.toMatch(/"token"|tls_disable"/);
});

test("on a table it takes part in the election of one server, and locks its memory where it may", () => {
  const config = orgServerConfig({
    org: "oaaaaaaaaaaaaaaa",
    place: {
      listen: "{address}:8200",
      storage: dynamodbStorage("strongroom-oaaaaaaaaaaaaaaa-1", "eu-central-1"),
      mlock: true,
    },
    internalVault: { address: "https://vault.internal:8200", caFile: "{dir}/ca.pem" },
  });
  expect(config).toMatchObject({
    api_addr: "https://{address}:8200",
    cluster_addr: "https://{address}:8201",
    disable_mlock: false,
    seal: { transit: { address: "https://vault.internal:8200", tls_ca_cert: "{dir}/ca.pem" } },
    storage: {
      dynamodb: { table: "strongroom-oaaaaaaaaaaaaaaa-1", region: "eu-central-1", ha_enabled: "true" },
    },
  });
});

test("the internal Vault keeps everything in its own folder", () => {
  expect(internalServerConfig({ dir: "/state/internal-vault", listen: "127.0.0.1:8100" })).toMatchObject({
    api_addr: "http://127.0.0.1:8100",
    storage: { raft: { path: "/state/internal-vault/raft" } },
    listener: { tcp: { address: "127.0.0.1:8100", tls_disable: true, max_request_size: 4_194_304 } },
  });
});
