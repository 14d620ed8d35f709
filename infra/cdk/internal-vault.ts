import { Duration, RemovalPolicy, Stack, type StackProps } from "aws-cdk-lib";
import { AttributeType, BillingMode, Table, TableEncryption } from "aws-cdk-lib/aws-dynamodb";
import { AvailabilityZoneRebalancing, Cluster, ContainerInsights, FargateService } from "aws-cdk-lib/aws-ecs";
import { PolicyStatement } from "aws-cdk-lib/aws-iam";
import type { Key } from "aws-cdk-lib/aws-kms";
import { type Bucket, BucketEncryption } from "aws-cdk-lib/aws-s3";
import { DnsRecordType } from "aws-cdk-lib/aws-servicediscovery";
import type { Construct } from "constructs";
import { acknowledge } from "./acknowledge.ts";
import { accessLogBucket, privateBucket } from "./buckets.ts";
import { fileInMemory, PLATFORM_ROLE_PATH, Task, VAULT_USER } from "./container.ts";
import { VAULT_ANSWERS } from "./health-checks.ts";
import { internalVaultConfig } from "./internal-vault-config.ts";
import { customerKey, decryptOnlyBy } from "./keys.ts";
import type { Network } from "./network.ts";
import { OperatorTask } from "./operator-task.ts";
import { VAULT_PORT } from "./ports.ts";
import { privateNamespace } from "./private-namespace.ts";
import type { Settings } from "./settings.ts";

const NAME = "internal-vault";
const NODES = 3;
const KEEP_VERSIONS_DAYS = 90;

/**
 * The Vault that unseals all others, and depends on none of them: nodes in three zones, in a cluster of
 * their own, on a versioned bucket and a lock table, sealed by a KMS key that only they may use.
 */
export class InternalVault extends Stack {
  /** `https://…` as the control plane and the organizations' Vaults reach it. */
  readonly address: string;
  readonly task: Task;
  readonly service: FargateService;
  readonly operator: OperatorTask;
  readonly cluster: Cluster;

  constructor(scope: Construct, id: string, network: Network, settings: Settings, props?: StackProps) {
    super(scope, id, props);
    const host = `${NAME}.${settings.internalDomain}`;
    this.address = `https://${host}:${VAULT_PORT}`;
    const sealKey = customerKey(this, "SealKey", "Strongroom: the internal Vault's seal");
    decryptOnlyBy(sealKey, `${PLATFORM_ROLE_PATH}strongroom-${NAME}`);
    const storageKey = customerKey(this, "StorageKey", "Strongroom: the internal Vault's bucket and lock");
    const bucket = this.#bucket(storageKey);
    const lock = this.#lockTable(storageKey, settings);

    const parameter = (name: string) => `${settings.parameterPrefix}/platform/internal-vault/${name}`;
    this.task = new Task(this, "Task", {
      name: NAME,
      cpu: 512,
      memory: 1024,
      repository: network.vaultImages,
      image: settings.vaultImage,
      user: VAULT_USER,
      environment: {
        SKIP_SETCAP: "1",
        VAULT_ADDR: `https://127.0.0.1:${VAULT_PORT}`,
        VAULT_TLS_SERVER_NAME: host,
      },
      files: {
        "vault.json": this.toJsonString(
          internalVaultConfig({ region: this.region, bucket, lock, sealKey, storageKey }),
        ),
      },
      secretFiles: {
        key: network.platformKey,
        parameters: { "certificate.pem": parameter("tls-certificate"), "key.pem": parameter("tls-key") },
      },
      command: ["vault", "server", `-config=${fileInMemory("vault.json")}`],
      port: VAULT_PORT,
      healthCheck: VAULT_ANSWERS,
    });
    this.#allow({ bucket, lock, sealKey, storageKey });

    this.cluster = new Cluster(this, "Cluster", {
      vpc: network.vpc,
      clusterName: "strongroom-internal",
      containerInsightsV2: ContainerInsights.ENABLED,
    });
    const namespace = privateNamespace(this, "Namespace", network, settings.internalDomain);
    // ECS spreads a service's tasks over the zones, and rebalancing keeps them spread: one each. A change
    // starts a fourth node before it stops one.
    this.service = new FargateService(this, "Nodes", {
      cluster: this.cluster,
      serviceName: NAME,
      taskDefinition: this.task.definition,
      desiredCount: NODES,
      minHealthyPercent: 100,
      maxHealthyPercent: 134,
      availabilityZoneRebalancing: AvailabilityZoneRebalancing.ENABLED,
      circuitBreaker: { rollback: true },
      assignPublicIp: false,
      vpcSubnets: { subnets: network.vaultSubnets },
      securityGroups: [network.groups.internalVault],
      cloudMapOptions: {
        cloudMapNamespace: namespace,
        name: NAME,
        dnsRecordType: DnsRecordType.A,
        dnsTtl: Duration.seconds(5),
      },
    });
    this.operator = new OperatorTask(this, "Operator", {
      network,
      settings,
      internalVault: this.address,
      auditLog: this.task.log,
    });
  }

  #bucket(encryptionKey: Key): Bucket {
    return privateBucket(this, "Storage", {
      encryption: BucketEncryption.KMS,
      encryptionKey,
      bucketKeyEnabled: true,
      serverAccessLogsBucket: accessLogBucket(this, "AccessLog"),
      serverAccessLogsPrefix: "storage/",
      lifecycleRules: [{ noncurrentVersionExpiration: Duration.days(KEEP_VERSIONS_DAYS) }],
    });
  }

  #lockTable(encryptionKey: Key, { isProtected }: Settings): Table {
    return new Table(this, "Lock", {
      partitionKey: { name: "Path", type: AttributeType.STRING },
      sortKey: { name: "Key", type: AttributeType.STRING },
      billingMode: BillingMode.PAY_PER_REQUEST,
      encryption: TableEncryption.CUSTOMER_MANAGED,
      encryptionKey,
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      deletionProtection: isProtected,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
  }

  #allow(of: { bucket: Bucket; lock: Table; sealKey: Key; storageKey: Key }): void {
    const grant = (actions: string[], resources: string[], conditions?: Record<string, unknown>) =>
      this.task.role.addToPolicy(new PolicyStatement({ actions, resources, conditions }));
    grant(["s3:ListBucket"], [of.bucket.bucketArn]);
    grant(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], [of.bucket.arnForObjects("*")]);
    grant(
      ["dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"],
      [of.lock.tableArn],
    );
    grant(["kms:Encrypt", "kms:Decrypt", "kms:DescribeKey"], [of.sealKey.keyArn]);
    grant(["kms:Decrypt", "kms:GenerateDataKey"], [of.storageKey.keyArn], {
      StringLike: { "kms:ViaService": [`s3.${this.region}.*`, `dynamodb.${this.region}.*`] },
    });
    acknowledge(this.task.role, {
      [`IAM5[Resource::<${this.getLogicalId(of.bucket.node.defaultChild as never)}.Arn>/*]`]:
        "The objects of its own bucket",
    });
  }
}
