import type { Table } from "aws-cdk-lib/aws-dynamodb";
import type { Key } from "aws-cdk-lib/aws-kms";
import type { Bucket } from "aws-cdk-lib/aws-s3";
import { INTERNAL_REQUESTS } from "../../services/shared/vault/server-config.ts";
import { fileInMemory } from "./container.ts";
import { CLUSTER_PORT, VAULT_PORT } from "./ports.ts";

/** The AWS resources of the internal Vault's nodes. */
export interface Storage {
  region: string;
  bucket: Bucket;
  lock: Table;
  sealKey: Key;
  storageKey: Key;
}

/**
 * The server configuration of the internal Vault's nodes. Vault resolves the template for a node's own address. S3 is
 * the storage; the table only elects the leader, since S3 has no lock.
 */
export function internalVaultConfig({ region, bucket, lock, sealKey, storageKey }: Storage) {
  return {
    // A Fargate task cannot lock memory, but it has no swap either.
    disable_mlock: true,
    ui: false,
    log_format: "json",
    log_level: "info",
    api_addr: `https://{{ GetPrivateIP }}:${VAULT_PORT}`,
    cluster_addr: `https://{{ GetPrivateIP }}:${CLUSTER_PORT}`,
    storage: { s3: { bucket: bucket.bucketName, region, kms_key_id: storageKey.keyArn } },
    ha_storage: { dynamodb: { ha_enabled: "true", table: lock.tableName, region } },
    seal: { awskms: { region, kms_key_id: sealKey.keyArn } },
    listener: {
      tcp: {
        address: `0.0.0.0:${VAULT_PORT}`,
        tls_cert_file: fileInMemory("certificate.pem"),
        tls_key_file: fileInMemory("key.pem"),
        tls_min_version: "tls13",
        tls_disable_client_certs: true,
        ...INTERNAL_REQUESTS,
      },
    },
  };
}
