import { RemovalPolicy } from "aws-cdk-lib";
import { Bucket } from "aws-cdk-lib/aws-s3";
import { AwsSolutionsChecks } from "cdk-nag";
import { describe, expect, test } from "vitest";
import { obstacles } from "./failed-creation.ts";
import type { Statement } from "./iam.ts";
import { synthesize } from "./synthesized.ts";

const { stacks, app, deployment } = synthesize();

/** What holds something that cannot be made again. */
const HOLDS_STATE = [
  "AWS::S3::Bucket",
  "AWS::DynamoDB::Table",
  "AWS::KMS::Key",
  "AWS::Logs::LogGroup",
  "AWS::ECR::Repository",
  "AWS::Backup::BackupVault",
];

describe("all stacks", () => {
  test("pass AwsSolutions, where not acknowledged with a reason", () => {
    const report = new AwsSolutionsChecks().validateScope(app);
    const findings = report.violations.map(({ ruleName, violatingResources }) => [
      ruleName,
      violatingResources.map(({ resourceLogicalId }) => resourceLogicalId),
    ]);
    expect(findings).toEqual([]);
  });

  test("would not pass with a bucket that nobody looked after", () => {
    const other = synthesize();
    new Bucket(other.stacks.cell, "Careless", { removalPolicy: RemovalPolicy.DESTROY });
    expect(new AwsSolutionsChecks().validateScope(other.app).violations.length).toBeGreaterThan(0);
  });

  test("keep what cannot be made again, when a stack is removed and when a resource is replaced", () => {
    const state = deployment.resources().filter(({ type }) => HOLDS_STATE.includes(type));
    expect(new Set(state.map(({ type }) => type)).size).toBe(HOLDS_STATE.length);
    for (const { id, type, deletionPolicy, updateReplacePolicy } of state) {
      expect({ id, deletionPolicy, updateReplacePolicy }).toEqual({
        id,
        // Buckets, which have no names of ours, also where the creation fails: S3 deletes none with a file in it.
        deletionPolicy: type === "AWS::S3::Bucket" ? "Retain" : "RetainExceptOnCreate",
        updateReplacePolicy: "Retain",
      });
    }
  });

  test("are not taken down by a slip of the hand, once they have been created", () => {
    const created = synthesize({ isProtected: true });
    for (const stack of Object.values(created.stacks)) expect(stack.terminationProtection).toBe(true);
    const loadBalancers = created.deployment.resources("AWS::ElasticLoadBalancingV2::LoadBalancer");
    expect(loadBalancers.length).toBe(4);
    for (const { properties } of loadBalancers) {
      expect(properties.LoadBalancerAttributes).toContainEqual({
        Key: "deletion_protection.enabled",
        Value: "true",
      });
    }
    const tables = created.deployment.resources("AWS::DynamoDB::Table");
    expect(tables.map(({ properties }) => properties.DeletionProtectionEnabled)).toEqual([true, true]);
  });

  test("whose creation fails can be created again: nothing that is left stands in the way", () => {
    expect([...obstacles(deployment, Object.values(stacks))]).toEqual([]);
  });

  test("protected before they are created they could not: that is found", () => {
    const early = synthesize({ isProtected: true });
    const found = [...obstacles(early.deployment, Object.values(early.stacks))];
    expect(found.filter((line) => line.endsWith("cannot be deleted"))).toHaveLength(10);
    expect(found.filter((line) => line.endsWith("the roll-back fails"))).toHaveLength(6);
    const [log] = early.deployment
      .resources("AWS::Logs::LogGroup")
      .filter(({ properties }) => properties.LogGroupName);
    const { templates } = early.deployment;
    const raw = templates[log?.stack ?? ""]?.Resources[log?.id ?? ""];
    if (raw) raw.DeletionPolicy = "Retain";
    expect([...obstacles(early.deployment, [])].join()).toContain("exists already");
  });

  test("have names that a resolver soon asks for again: a service waits seconds for one that starts, not minutes", () => {
    const namespaces = deployment.resources("AWS::ServiceDiscovery::PrivateDnsNamespace");
    expect(namespaces).toHaveLength(2);
    for (const { properties } of namespaces) {
      expect(properties.Properties).toEqual({ DnsProperties: { SOA: { TTL: 5 } } });
    }
  });
});

describe("at rest", () => {
  test("every bucket is encrypted, versioned, private, and open to TLS alone", () => {
    const buckets = deployment.resources("AWS::S3::Bucket");
    expect(buckets.length).toBe(4);
    for (const { stack, id, properties } of buckets) {
      expect(properties.VersioningConfiguration).toEqual({ Status: "Enabled" });
      expect(properties.BucketEncryption).toBeDefined();
      expect(Object.values(properties.PublicAccessBlockConfiguration)).toEqual([true, true, true, true]);
      const policy = deployment.resource(
        stack,
        "AWS::S3::BucketPolicy",
        id.replace(/[0-9A-F]{8}$/, "Policy"),
      );
      const denied: Statement[] = policy.properties.PolicyDocument.Statement.filter(
        ({ Effect, Principal }: Statement) =>
          Effect === "Deny" && (Principal as { AWS?: string })?.AWS === "*",
      );
      expect(denied.map(({ Condition }) => Condition)).toEqual(
        expect.arrayContaining([
          { Bool: { "aws:SecureTransport": "false" } },
          { NumericLessThan: { "s3:TlsVersion": 1.2 } },
        ]),
      );
    }
  });

  test("the internal Vault's bucket and table are under a customer key; versions are kept for 90 days", () => {
    const bucket = deployment.resource("StrongroomInternalVault", "AWS::S3::Bucket", "Storage").properties;
    const key = deployment.resource("StrongroomInternalVault", "AWS::KMS::Key", "StorageKey").arn;
    expect(
      bucket.BucketEncryption.ServerSideEncryptionConfiguration[0].ServerSideEncryptionByDefault,
    ).toEqual({
      SSEAlgorithm: "aws:kms",
      KMSMasterKeyID: key,
    });
    expect(bucket.LifecycleConfiguration.Rules).toEqual([
      { NoncurrentVersionExpiration: { NoncurrentDays: 90 }, Status: "Enabled" },
    ]);
    const table = deployment.resource("StrongroomInternalVault", "AWS::DynamoDB::Table").properties;
    expect(table.SSESpecification).toEqual({ SSEEnabled: true, SSEType: "KMS", KMSMasterKeyId: key });
    expect(table.PointInTimeRecoverySpecification).toEqual({ PointInTimeRecoveryEnabled: true });
  });

  test("every key rotates, but the one that signs: KMS rotates no such key", () => {
    const keys = deployment.resources("AWS::KMS::Key");
    expect(keys.length).toBe(12);
    const signing = keys.filter(({ properties }) => properties.KeyUsage === "SIGN_VERIFY");
    expect(signing.map(({ id }) => id.replace(/[0-9A-F]{8}$/, ""))).toEqual(["ReceiptsKey"]);
    for (const each of keys) {
      if (!signing.includes(each)) expect(each.properties.EnableKeyRotation).toBe(true);
    }
  });

  test("images are scanned, and their tags never moved", () => {
    for (const { properties } of deployment.resources("AWS::ECR::Repository")) {
      expect(properties.ImageTagMutability).toBe("IMMUTABLE");
      expect(properties.ImageScanningConfiguration).toEqual({ ScanOnPush: true });
    }
  });
});

describe("policies", () => {
  const list = (value: string | string[] | undefined): string[] => [value ?? []].flat();
  const SECRET_BEARING =
    /^(\*|kms:(\*|Decrypt|ReEncrypt.*|CreateGrant|PutKeyPolicy)|ssm:(\*|Get.*)|s3:(\*|Get.*)|dynamodb:(\*|.*Item|Query|Scan|Export.*|Restore.*|StartAws.*)|secretsmanager:.*|sts:.*|iam:(\*|PassRole|Put.*|Create.*|Attach.*|Tag.*|Update.*)|ecs:(\*|RunTask|StartTask|ExecuteCommand|RegisterTaskDefinition))$/;
  const documents = deployment
    .resources()
    .filter(({ type }) => ["AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"].includes(type));

  test("are of the version in which variables work", () => {
    expect(documents.length).toBeGreaterThanOrEqual(9);
    for (const { properties } of documents) expect(properties.PolicyDocument.Version).toBe("2012-10-17");
  });

  test("allow nothing that bears secrets on everything", () => {
    const offending = documents.flatMap(({ id, properties }) =>
      (properties.PolicyDocument.Statement as Statement[])
        .filter(({ Effect }) => Effect === "Allow")
        .filter(({ Action }) => list(Action).some((action) => SECRET_BEARING.test(action)))
        .filter(({ Resource }) => list(Resource).length === 0 || list(Resource).includes("*"))
        .map((statement) => ({ id, statement })),
    );
    expect(offending).toEqual([]);
  });

  test("fit into what IAM takes", () => {
    for (const { id, type, properties } of documents) {
      const size = JSON.stringify(properties.PolicyDocument).length;
      expect({ id, fits: size <= (type === "AWS::IAM::ManagedPolicy" ? 6144 : 10_240) }).toEqual({
        id,
        fits: true,
      });
    }
  });

  test("of endpoints bound every call to this account's own callers, but for images' layers", () => {
    const all = deployment.resources("AWS::EC2::VPCEndpoint");
    const { own = [], aws = [] } = Object.groupBy(all, ({ properties }) =>
      properties.ServiceName.startsWith("com.amazonaws.vpce.") ? "own" : "aws",
    );
    // To the broker, and from its network to what the control plane publishes: TCP, which knows no callers.
    expect(own.map(({ stack }) => stack).toSorted()).toEqual(["StrongroomIntake", "StrongroomWorkerBroker"]);
    const endpoints = aws;
    expect(endpoints.length).toBe(8 + 6 + 6 + 5 + 7);
    for (const { properties } of endpoints) {
      for (const { Action, Condition } of properties.PolicyDocument.Statement as Statement[]) {
        if (list(Action).join() === "s3:GetObject") continue;
        expect(Condition?.StringEquals).toHaveProperty("aws:PrincipalAccount");
      }
    }
  });
});
