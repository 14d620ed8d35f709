import type { Deployment } from "./deployment.ts";

/** What gives a resource a name that only one can have. */
const NAMES: Record<string, string> = {
  "AWS::Logs::LogGroup": "LogGroupName",
  "AWS::ECR::Repository": "RepositoryName",
  "AWS::Backup::BackupVault": "BackupVaultName",
  "AWS::DynamoDB::Table": "TableName",
  "AWS::S3::Bucket": "BucketName",
  "AWS::ECS::Cluster": "ClusterName",
  "AWS::IAM::Role": "RoleName",
  "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
  "AWS::KMS::Alias": "AliasName",
  "AWS::SNS::Topic": "TopicName",
};

/**
 * What stands in the way of a second try after a stack's creation has failed, by CloudFormation's own rules: it
 * rolls the creation back, deleting what was made but for what is retained, and leaves an empty stack that has
 * to be deleted before the next try.
 */
export function* obstacles(
  deployment: Deployment,
  stacks: { stackName: string; terminationProtection?: boolean }[],
): Generator<string> {
  for (const { stackName, terminationProtection } of stacks) {
    if (terminationProtection) yield `${stackName}: what is left of it cannot be deleted`;
  }
  for (const { type, id, properties, deletionPolicy } of deployment.resources()) {
    const name = properties[NAMES[type] ?? ""];
    if (deletionPolicy === "Retain" && name !== undefined) {
      yield `${id}: it survives, and the next try finds that ${name} exists already`;
    }
    if (deletionPolicy === "Retain") continue;
    const attributes: { Key: string; Value: string }[] = properties.LoadBalancerAttributes ?? [];
    const isProtected =
      properties.DeletionProtectionEnabled === true ||
      attributes.some(({ Key, Value }) => Key === "deletion_protection.enabled" && Value === "true");
    if (isProtected) yield `${id}: its deletion is refused, and the roll-back fails`;
  }
}
