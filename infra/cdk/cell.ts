import { Duration, RemovalPolicy, Stack, type StackProps } from "aws-cdk-lib";
import { BackupPlan, BackupPlanRule, BackupResource, BackupVault } from "aws-cdk-lib/aws-backup";
import { Cluster, ContainerInsights } from "aws-cdk-lib/aws-ecs";
import { Schedule } from "aws-cdk-lib/aws-events";
import { ManagedPolicy, type PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import type { Key } from "aws-cdk-lib/aws-kms";
import type { PrivateDnsNamespace } from "aws-cdk-lib/aws-servicediscovery";
import type { Construct } from "constructs";
import { ORG_ROLE_PATH } from "../../services/shared/aws/names.ts";
import { acknowledge, pattern } from "./acknowledge.ts";
import { PLATFORM_ROLE_PATH } from "./container.ts";
import { customerKey, decryptOnlyBy } from "./keys.ts";
import { cellDomain } from "./names.ts";
import type { Network } from "./network.ts";
import { allow, executionPolicy, ORG_SHAPE, orgArns, orgBoundary, taskPolicy } from "./org-policies.ts";
import { privateNamespace } from "./private-namespace.ts";
import type { Settings } from "./settings.ts";

/** The cluster that runs only organizations' Vaults. */
export const ORG_CLUSTER = "strongroom-orgs";
const KEEP_BACKUPS = Duration.days(35);

/**
 * The environment of organizations' Vaults: cluster, namespace, keys, and the policies that all their roles share. The
 * control plane creates each organization's own resources when it onboards the organization.
 */
export class Cell extends Stack {
  readonly parameterPrefix: string;
  readonly cluster: Cluster;
  readonly namespace: PrivateDnsNamespace;
  /** Encrypts organizations' parameters; only their own execution roles decrypt with it. */
  readonly parameterKey: Key;
  /** Encrypts organizations' tables. Not the parameters' key: a task role could decrypt parameters with it. */
  readonly tableKey: Key;
  readonly executionPolicy: ManagedPolicy;
  readonly taskPolicy: ManagedPolicy;
  readonly permissionsBoundary: ManagedPolicy;

  constructor(scope: Construct, id: string, network: Network, settings: Settings, props?: StackProps) {
    super(scope, id, props);
    this.parameterPrefix = settings.parameterPrefix;
    this.cluster = new Cluster(this, "Cluster", {
      vpc: network.vpc,
      clusterName: ORG_CLUSTER,
      containerInsightsV2: ContainerInsights.ENABLED,
      enableFargateCapacityProviders: true,
    });
    this.namespace = privateNamespace(this, "Namespace", network, cellDomain(settings));
    this.parameterKey = customerKey(this, "ParameterKey", "Strongroom: organizations' parameters");
    decryptOnlyBy(this.parameterKey, `${ORG_ROLE_PATH}*`);
    this.tableKey = customerKey(this, "TableKey", "Strongroom: organizations' tables");

    const of = {
      stack: this,
      parameterPrefix: settings.parameterPrefix,
      parameterKeyArns: [this.parameterKey.keyArn, ...settings.retiredParameterKeys],
      tableKeyArn: this.tableKey.keyArn,
      repositoryArn: network.vaultImages.repositoryArn,
    };
    const policy = (id: string, name: string, description: string, statements: PolicyStatement[]) =>
      new ManagedPolicy(this, id, {
        managedPolicyName: `strongroom-org-${name}`,
        path: "/strongroom/",
        description,
        statements,
      });
    this.executionPolicy = policy(
      "ExecutionPolicy",
      "execution",
      "Shared by all organizations' execution roles; the role's tag org determines what it opens",
      executionPolicy(of),
    );
    this.taskPolicy = policy(
      "TaskPolicy",
      "task",
      "Shared by all organizations' task roles; the role's tag org determines what it opens",
      taskPolicy(of),
    );
    this.permissionsBoundary = policy(
      "PermissionsBoundary",
      "boundary",
      "The permissions boundary of all organizations' roles",
      orgBoundary(of),
    );
    const ownLog = "The streams of the log group of the organization in the tag";
    const ownTables = "The tables of the organization in the tag, one for each attempt";
    const logs = pattern(this, "logs", "log-group:/strongroom/orgs/<aws:PrincipalTag/org>:log-stream:*");
    const tables = pattern(this, "dynamodb", "table/strongroom-<aws:PrincipalTag/org>-*");
    const registry = "ecr:GetAuthorizationToken has no resource-level permissions";
    acknowledge(this.executionPolicy, { "IAM5[Resource::*]": registry, [logs]: ownLog });
    acknowledge(this.taskPolicy, { [tables]: ownTables });
    acknowledge(this.permissionsBoundary, {
      "IAM5[Resource::*]": registry,
      [logs]: ownLog,
      [tables]: ownTables,
    });
    this.#backups(settings);
  }

  /** The backup job: AWS Backup, with a role that can only copy organizations' tables. */
  #backups(settings: Settings): void {
    const { tables, tableNames } = orgArns(
      { stack: this, parameterPrefix: settings.parameterPrefix },
      ORG_SHAPE,
    );
    const vault = new BackupVault(this, "Backups", {
      encryptionKey: customerKey(this, "BackupKey", "Strongroom: copies of organizations' tables"),
      blockRecoveryPointDeletion: true,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    const role = new Role(this, "BackupRole", {
      roleName: "strongroom-backup",
      path: PLATFORM_ROLE_PATH,
      assumedBy: new ServicePrincipal("backup.amazonaws.com", {
        conditions: { StringEquals: { "aws:SourceAccount": this.account } },
      }),
    });
    role.addToPolicy(
      allow(
        "CopyTables",
        ["dynamodb:DescribeTable", "dynamodb:ListTagsOfResource", "dynamodb:StartAwsBackupJob"],
        [tables],
      ),
    );
    role.addToPolicy(
      allow("TablesCiphertexts", ["kms:Decrypt", "kms:GenerateDataKey"], [this.tableKey.keyArn], {
        StringEquals: { "kms:ViaService": `dynamodb.${this.region}.amazonaws.com` },
      }),
    );
    role.addToPolicy(
      allow(
        "IntoTheVault",
        ["backup:DescribeBackupVault", "backup:CopyIntoBackupVault"],
        [vault.backupVaultArn],
      ),
    );
    acknowledge(role, {
      [pattern(this, "dynamodb", `table/${tableNames}`)]: "The backup job copies every organization's tables",
    });
    const plan = new BackupPlan(this, "BackupPlan", { backupVault: vault });
    plan.addRule(
      new BackupPlanRule({
        ruleName: "daily",
        scheduleExpression: Schedule.cron({ hour: "3", minute: "0" }),
        startWindow: Duration.hours(1),
        completionWindow: Duration.hours(8),
        deleteAfter: KEEP_BACKUPS,
      }),
    );
    plan.addSelection("Tables", {
      backupSelectionName: "organizations",
      role,
      disableDefaultBackupPolicy: true,
      resources: [BackupResource.fromArn(tables.replaceAll("?", "*").replaceAll(/\*+/g, "*"))],
    });
  }
}
