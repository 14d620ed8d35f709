import { CreateTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from "@aws-sdk/client-s3";
import { clientOf, makeKey, REGION } from "../harness/aws/cell.ts";
import type { Deployment } from "./deployment.ts";

/** The configuration that the template gives the internal Vault's nodes, as the template has it. */
export function internalVaultConfigOf(deployment: Deployment) {
  const [container] = deployment.resource(
    "StrongroomInternalVault",
    "AWS::ECS::TaskDefinition",
    "TaskDefinition",
  ).properties.ContainerDefinitions;
  return JSON.parse(
    container.Environment.find(({ Name }: { Name: string }) => Name === "FILE_VAULT_JSON").Value,
  );
}

/**
 * Makes in an emulator what the template's configuration of the internal Vault names, and returns that
 * configuration with the emulator's endpoints and keys in it.
 */
export async function makeInternalVaultStorage(emulator: string, deployment: Deployment) {
  const of = (type: string, id: string) =>
    deployment.resource("StrongroomInternalVault", type, id).properties;
  const config = internalVaultConfigOf(deployment);
  const { storage, ha_storage, seal } = config;
  const { KeySchema, AttributeDefinitions, BillingMode } = of("AWS::DynamoDB::Table", "Lock");
  const { bucket: Bucket } = storage.s3;
  const s3 = new S3Client({ ...clientOf(emulator), forcePathStyle: true });
  const LocationConstraint = REGION;
  await s3.send(new CreateBucketCommand({ Bucket, CreateBucketConfiguration: { LocationConstraint } }));
  const VersioningConfiguration = of("AWS::S3::Bucket", "Storage").VersioningConfiguration;
  await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }));
  const TableName = ha_storage.dynamodb.table;
  await new DynamoDBClient(clientOf(emulator)).send(
    new CreateTableCommand({ TableName, KeySchema, AttributeDefinitions, BillingMode }),
  );
  const here = { endpoint: emulator, s3_force_path_style: "true", disable_ssl: "true" };
  const [sealKey, storageKey] = [await makeKey(emulator), await makeKey(emulator)];
  return {
    ...config,
    storage: { s3: { ...storage.s3, ...here, kms_key_id: storageKey } },
    ha_storage: { dynamodb: { ...ha_storage.dynamodb, endpoint: emulator } },
    seal: { awskms: { ...seal.awskms, kms_key_id: sealKey, endpoint: emulator } },
  };
}
