import type { PolicyStatement, Role } from "aws-cdk-lib/aws-iam";
import { ORG_ROLE_PATH, ORG_TAG, orgNames } from "../../services/shared/aws/names.ts";
import { acknowledge, pattern } from "./acknowledge.ts";
import { type Cell, ORG_CLUSTER } from "./cell.ts";
import { allow, deny, ORG_SHAPE, orgArns } from "./org-policies.ts";

/** The tag in a request; in an ARN, it binds a role's name to its tag. */
const GIVEN = `\${aws:RequestTag/${ORG_TAG}}`;
const IS_GIVEN_ID = { [`aws:RequestTag/${ORG_TAG}`]: ORG_SHAPE };

/** All of the control plane's permissions on AWS: create, change and remove organizations' resources in its cell. */
export function controlPlanePolicy(cell: Cell): PolicyStatement[] {
  const { partition, region, account } = cell;
  const of = { stack: cell, parameterPrefix: cell.parameterPrefix };
  const any = orgArns(of, ORG_SHAPE);
  const arn = (service: string, resource: string, where = region) =>
    `arn:${partition}:${service}:${where}:${account}:${resource}`;
  const roles = (org: string, kinds: ("executionRole" | "taskRole")[]) =>
    kinds.map((kind) => arn("iam", `role${ORG_ROLE_PATH}${orgNames(org)[kind]}`, ""));
  const { service } = orgNames(ORG_SHAPE);
  const ecsService = arn("ecs", `service/${ORG_CLUSTER}/${service}`);
  const inCluster = { ArnEquals: { "ecs:cluster": cell.cluster.clusterArn } };
  const bounded = { "iam:PermissionsBoundary": cell.permissionsBoundary.managedPolicyArn };
  const both: ("executionRole" | "taskRole")[] = ["executionRole", "taskRole"];

  return [
    ...parameterStatements(cell, any.parameters),
    ...tableStatements(cell, any.tables, any.tableNames),

    // A role's tag is its authority, and its name is bound to the tag, so no role can move to another organization.
    allow("CreateRole", ["iam:CreateRole"], roles(GIVEN, both), {
      StringLike: IS_GIVEN_ID,
      StringEquals: bounded,
    }),
    allow("TagRole", ["iam:TagRole"], roles(GIVEN, both), { StringLike: IS_GIVEN_ID }),
    allow("ExecutionPolicy", ["iam:AttachRolePolicy"], roles(ORG_SHAPE, ["executionRole"]), {
      ArnEquals: { "iam:PolicyARN": cell.executionPolicy.managedPolicyArn },
    }),
    allow("TaskPolicy", ["iam:AttachRolePolicy"], roles(ORG_SHAPE, ["taskRole"]), {
      ArnEquals: { "iam:PolicyARN": cell.taskPolicy.managedPolicyArn },
    }),
    allow("Roles", ["iam:GetRole", "iam:DetachRolePolicy", "iam:DeleteRole"], roles(ORG_SHAPE, both)),
    allow("PassRole", ["iam:PassRole"], roles(ORG_SHAPE, both), {
      StringEquals: { "iam:PassedToService": "ecs-tasks.amazonaws.com" },
    }),

    allow(
      "TaskDefinitions",
      ["ecs:RegisterTaskDefinition", "ecs:DeleteTaskDefinitions", "ecs:TagResource"],
      [arn("ecs", `task-definition/${service}:*`)],
    ),
    allow(
      "Services",
      ["ecs:CreateService", "ecs:UpdateService", "ecs:DeleteService", "ecs:DescribeServices"],
      [ecsService],
      inCluster,
    ),
    allow("TagServices", ["ecs:TagResource"], [ecsService]),
    allow("Tasks", ["ecs:DescribeTasks"], [arn("ecs", `task/${ORG_CLUSTER}/*`)], inCluster),
    allow("ListTasks", ["ecs:ListTasks", "ecs:ListServices"], ["*"], inCluster),
    allow("Quotas", ["servicequotas:GetServiceQuota"], ["*"]),
    allow(
      "Definitions",
      ["ecs:DescribeTaskDefinition", "ecs:ListTaskDefinitions", "ecs:DeregisterTaskDefinition"],
      ["*"],
    ),
    deny("Shells", ["ecs:ExecuteCommand"], { resources: ["*"] }),
    deny("ShellsLater", ["ecs:CreateService", "ecs:UpdateService"], {
      resources: ["*"],
      conditions: { Bool: { "ecs:enable-execute-command": "true" } },
    }),

    allow(
      "Names",
      ["servicediscovery:CreateService", "servicediscovery:DeleteService"],
      [cell.namespace.namespaceArn, arn("servicediscovery", "service/*")],
    ),
    allow("ListNames", ["servicediscovery:ListServices", "servicediscovery:TagResource"], ["*"]),

    // A log group is never deleted, since it contains the audit log.
    allow(
      "Logs",
      ["logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:TagResource"],
      [any.logGroup, `${any.logGroup}:*`],
    ),
  ];
}

/** Why the policy has patterns. Its tests prove what it allows, and what it does not. */
export function acknowledgeControlPlane(role: Role, cell: Cell): void {
  const { service, logGroup } = orgNames(ORG_SHAPE);
  const { tableNames } = orgArns({ stack: cell, parameterPrefix: cell.parameterPrefix }, ORG_SHAPE);
  const later = "Organizations' own resources, whose ids are not known before onboarding";
  acknowledge(role, {
    "IAM5[Resource::*]":
      "Lists and reads without resource-level permissions; limited to the cluster if IAM supports it",
    "IAM5[Action::kms:ReEncrypt*]":
      "DynamoDB requires it; allowed only through DynamoDB, for organizations' tables",
    "IAM5[Action::kms:GenerateDataKey*]":
      "DynamoDB requires it; allowed only through DynamoDB, for organizations' tables",
    [pattern(role, "dynamodb", `table/${tableNames}`)]: later,
    [pattern(role, "ecs", `task-definition/${service}:*`)]: later,
    [pattern(role, "logs", `log-group:${logGroup}:*`)]: later,
    [pattern(role, "ecs", `task/${ORG_CLUSTER}/*`)]: "The tasks of the organizations' cluster",
    [pattern(role, "servicediscovery", "service/*")]: "Cloud Map gives services random ids",
  });
}

/** It writes organizations' parameters and reads none: neither by name, nor by path, nor by decrypting. */
function parameterStatements(cell: Cell, parameters: string[]): PolicyStatement[] {
  return [
    allow(
      "WriteParameters",
      ["ssm:PutParameter", "ssm:AddTagsToResource", "ssm:DeleteParameter"],
      parameters,
    ),
    allow("EncryptParameters", ["kms:Encrypt"], [cell.parameterKey.keyArn], {
      StringEquals: { "kms:ViaService": `ssm.${cell.region}.amazonaws.com` },
      StringLike: { "kms:EncryptionContext:PARAMETER_ARN": parameters },
    }),
    deny("ReadingParameters", ["ssm:GetParameter*"], { resources: ["*"] }),
    deny("DecryptingParameters", ["kms:Decrypt", "kms:ReEncrypt*", "kms:CreateGrant"], {
      resources: [cell.parameterKey.keyArn],
    }),
  ];
}

/** It creates tables, deletes none, and reads neither their items nor any copy of them. */
function tableStatements(cell: Cell, tables: string, tableNames: string): PolicyStatement[] {
  const throughTables = {
    StringEquals: { "kms:ViaService": `dynamodb.${cell.region}.amazonaws.com` },
  };
  return [
    allow(
      "Tables",
      [
        "dynamodb:CreateTable",
        "dynamodb:DescribeTable",
        "dynamodb:UpdateContinuousBackups",
        "dynamodb:TagResource",
        "dynamodb:ListTagsOfResource",
      ],
      [tables],
    ),
    // DynamoDB uses the key with the permissions of the table's creator; without access to items, it reveals nothing.
    allow(
      "EncryptTables",
      ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*"],
      [cell.tableKey.keyArn],
      {
        ...throughTables,
        StringLike: { "kms:EncryptionContext:aws:dynamodb:tableName": tableNames },
      },
    ),
    allow("GrantTables", ["kms:CreateGrant", "kms:DescribeKey"], [cell.tableKey.keyArn], throughTables),
    deny(
      "ReadingTables",
      [
        "dynamodb:*Item",
        "dynamodb:Query",
        "dynamodb:Scan",
        "dynamodb:PartiQL*",
        "dynamodb:GetRecords",
        "dynamodb:Export*",
        "dynamodb:CreateBackup",
        "dynamodb:Restore*",
      ],
      { resources: ["*"] },
    ),
  ];
}
