import { ORG_ROLE_PATH, orgNames, orgTable } from "../../services/shared/aws/names.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { orgParameters } from "../../services/shared/parameters/store.ts";
import { ACCOUNT, REGION } from "../harness/aws/cell.ts";
import { type Request, throughDynamoDb, throughSsm } from "./iam.ts";
import { cellPolicies, otherKey, parameterArn, tableArn } from "./org-battery.ts";
import { synthesize } from "./synthesized.ts";

const { deployment } = synthesize();
const { parameterKey, tableKey } = cellPolicies(deployment);
const policyArn = (name: string) => `arn:aws:iam::${ACCOUNT}:policy/strongroom/strongroom-org-${name}`;
const roleArn = (name: string, path = ORG_ROLE_PATH) => `arn:aws:iam::${ACCOUNT}:role${path}${name}`;
const ecs = (resource: string) => `arn:aws:ecs:${REGION}:${ACCOUNT}:${resource}`;
const cluster = { "ecs:cluster": ecs("cluster/strongroom-orgs") };
const id = newOrgId();
const other = newOrgId();
const { service, executionRole, taskRole, logGroup } = orgNames(id);
const names = orgParameters("/strongroom", id);
const token = parameterArn(names.unsealToken);
const boundary = { "iam:PermissionsBoundary": policyArn("boundary") };
const tagged = { "aws:RequestTag/org": id };
const passed = { "iam:PassedToService": "ecs-tasks.amazonaws.com" };
const underKey = { resource: parameterKey.arn, keyPolicy: parameterKey.policy };
const underTableKey = { resource: tableKey.arn, keyPolicy: tableKey.policy };

/** What onboarding, keeping and deleting an organization take. */
export const NEEDED: Request[] = [
  ...Object.values(names).flatMap((name) =>
    ["ssm:PutParameter", "ssm:AddTagsToResource", "ssm:DeleteParameter"].map((action) => ({
      action,
      resource: parameterArn(name),
    })),
  ),
  ...Object.values(names).map((name) => ({
    action: "kms:Encrypt",
    ...underKey,
    context: throughSsm(parameterArn(name)),
  })),
  ...["CreateTable", "DescribeTable", "UpdateContinuousBackups", "TagResource", "ListTagsOfResource"].map(
    (action) => ({ action: `dynamodb:${action}`, resource: tableArn(orgTable(id, 3)) }),
  ),
  ...["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey"].map((action) => ({
    action,
    ...underTableKey,
    context: throughDynamoDb(orgTable(id, 3)),
  })),
  ...["kms:CreateGrant", "kms:DescribeKey"].map((action) => ({
    action,
    ...underTableKey,
    context: { "kms:ViaService": `dynamodb.${REGION}.amazonaws.com` },
  })),
  ...[executionRole, taskRole].flatMap((name): Request[] => [
    { action: "iam:CreateRole", resource: roleArn(name), context: { ...boundary, ...tagged } },
    { action: "iam:TagRole", resource: roleArn(name), context: tagged },
    { action: "iam:GetRole", resource: roleArn(name) },
    { action: "iam:PassRole", resource: roleArn(name), context: passed },
    { action: "iam:DetachRolePolicy", resource: roleArn(name) },
    { action: "iam:DeleteRole", resource: roleArn(name) },
  ]),
  {
    action: "iam:AttachRolePolicy",
    resource: roleArn(executionRole),
    context: { "iam:PolicyARN": policyArn("execution") },
  },
  {
    action: "iam:AttachRolePolicy",
    resource: roleArn(taskRole),
    context: { "iam:PolicyARN": policyArn("task") },
  },
  ...["RegisterTaskDefinition", "DeleteTaskDefinitions", "TagResource"].map((action) => ({
    action: `ecs:${action}`,
    resource: ecs(`task-definition/${service}:1`),
  })),
  ...["DescribeTaskDefinition", "ListTaskDefinitions", "DeregisterTaskDefinition"].map((action) => ({
    action: `ecs:${action}`,
    resource: "*",
  })),
  ...["CreateService", "UpdateService", "DeleteService", "DescribeServices"].map((action) => ({
    action: `ecs:${action}`,
    resource: ecs(`service/strongroom-orgs/${service}`),
    context: cluster,
  })),
  { action: "ecs:TagResource", resource: ecs(`service/strongroom-orgs/${service}`) },
  { action: "ecs:DescribeTasks", resource: ecs("task/strongroom-orgs/0123456789abcdef"), context: cluster },
  { action: "ecs:ListTasks", resource: "*", context: cluster },
  { action: "ecs:ListServices", resource: "*", context: cluster },
  { action: "servicequotas:GetServiceQuota", resource: "*" },
  {
    action: "servicediscovery:CreateService",
    resource: deployment.resource("StrongroomCell", "AWS::ServiceDiscovery::PrivateDnsNamespace").arn,
  },
  {
    action: "servicediscovery:DeleteService",
    resource: `arn:aws:servicediscovery:${REGION}:${ACCOUNT}:service/srv-0123456789abcdef`,
  },
  { action: "servicediscovery:ListServices", resource: "*" },
  { action: "servicediscovery:TagResource", resource: "*" },
  ...["CreateLogGroup", "PutRetentionPolicy", "TagResource"].map((action) => ({
    action: `logs:${action}`,
    resource: `arn:aws:logs:${REGION}:${ACCOUNT}:log-group:${logGroup}`,
  })),
];

/** What it is denied even beside a broad Allow: reading what it has written, and what Vaults have stored. */
export const DENIED: Request[] = [
  ...["GetParameter", "GetParameters", "GetParametersByPath", "GetParameterHistory"].map((action) => ({
    action: `ssm:${action}`,
    resource: token,
  })),
  { action: "kms:Decrypt", ...underKey, context: throughSsm(token) },
  { action: "kms:Decrypt", ...underKey },
  { action: "kms:ReEncryptFrom", ...underKey },
  { action: "kms:CreateGrant", ...underKey },
  ...[
    "GetItem",
    "BatchGetItem",
    "PutItem",
    "DeleteItem",
    "BatchWriteItem",
    "Query",
    "Scan",
    "PartiQLSelect",
    "ExportTableToPointInTime",
    "CreateBackup",
    "RestoreTableToPointInTime",
  ].map((action) => ({ action: `dynamodb:${action}`, resource: tableArn(orgTable(id, 1)) })),
  { action: "ecs:ExecuteCommand", resource: ecs("task/strongroom-orgs/0123456789abcdef"), context: cluster },
  ...["CreateService", "UpdateService"].map((action) => ({
    action: `ecs:${action}`,
    resource: ecs(`service/strongroom-orgs/${service}`),
    context: { ...cluster, "ecs:enable-execute-command": "true" },
  })),
];

/** What it would take to give itself more, and what is simply not its business. */
export const NOT_ALLOWED: Request[] = [
  // Other parameters, other ways to the keys.
  { action: "ssm:PutParameter", resource: parameterArn("/strongroom/platform/control-plane/secret-id") },
  { action: "ssm:PutParameter", resource: parameterArn(`/strongroom/orgs/${id}/other`) },
  { action: "ssm:PutParameter", resource: parameterArn("/strongroom/orgs/short/unseal-token") },
  { action: "kms:Encrypt", ...underKey },
  { action: "kms:Encrypt", ...underKey, context: throughSsm(parameterArn("/strongroom/platform/ca")) },
  { action: "kms:Encrypt", ...underKey, context: { "kms:EncryptionContext:PARAMETER_ARN": token } },
  ...["kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:DisableKey"].map((action) => ({
    action,
    ...underKey,
  })),
  { action: "kms:Encrypt", ...otherKey, context: throughSsm(token) },
  { action: "kms:Decrypt", ...otherKey, context: throughDynamoDb(orgTable(id, 1)) },
  {
    action: "kms:CreateGrant",
    ...otherKey,
    context: { "kms:ViaService": `dynamodb.${REGION}.amazonaws.com` },
  },
  // Storage.
  { action: "dynamodb:DeleteTable", resource: tableArn(orgTable(id, 1)) },
  { action: "dynamodb:UpdateTable", resource: tableArn(orgTable(id, 1)) },
  { action: "dynamodb:UntagResource", resource: tableArn(orgTable(id, 1)) },
  { action: "dynamodb:CreateTable", resource: tableArn("strongroom-lock") },
  { action: "kms:Decrypt", ...underTableKey },
  { action: "kms:Decrypt", ...underTableKey, context: throughDynamoDb("strongroom-lock") },
  {
    action: "kms:Decrypt",
    ...underTableKey,
    context: { "kms:EncryptionContext:aws:dynamodb:tableName": orgTable(id, 1) },
  },
  { action: "kms:CreateGrant", ...underTableKey },
  // Roles: without the boundary or the tag, with another's tag, elsewhere, with other policies, for others.
  { action: "iam:CreateRole", resource: roleArn(executionRole), context: tagged },
  {
    action: "iam:CreateRole",
    resource: roleArn(executionRole),
    context: { ...tagged, "iam:PermissionsBoundary": policyArn("task") },
  },
  { action: "iam:CreateRole", resource: roleArn(executionRole), context: boundary },
  {
    action: "iam:CreateRole",
    resource: roleArn(executionRole),
    context: { ...boundary, "aws:RequestTag/org": other },
  },
  ...["*", "o*", "", "gateway"].map((tag) => ({
    action: "iam:CreateRole",
    resource: roleArn(`strongroom-${tag}-execution`),
    context: { ...boundary, "aws:RequestTag/org": tag },
  })),
  { action: "iam:CreateRole", resource: roleArn(executionRole, "/"), context: { ...boundary, ...tagged } },
  {
    action: "iam:CreateRole",
    resource: roleArn(`strongroom-${id}-more`),
    context: { ...boundary, ...tagged },
  },
  { action: "iam:TagRole", resource: roleArn(executionRole), context: { "aws:RequestTag/org": other } },
  { action: "iam:TagRole", resource: roleArn(executionRole) },
  {
    action: "iam:TagRole",
    resource: roleArn("strongroom-gateway-execution"),
    context: { "aws:RequestTag/org": "gateway" },
  },
  {
    action: "iam:AttachRolePolicy",
    resource: roleArn(executionRole),
    context: { "iam:PolicyARN": "arn:aws:iam::aws:policy/AdministratorAccess" },
  },
  {
    action: "iam:AttachRolePolicy",
    resource: roleArn(taskRole),
    context: { "iam:PolicyARN": policyArn("execution") },
  },
  {
    action: "iam:AttachRolePolicy",
    resource: roleArn(executionRole),
    context: { "iam:PolicyARN": policyArn("task") },
  },
  ...["UntagRole", "PutRolePolicy", "UpdateAssumeRolePolicy", "DeleteRolePermissionsBoundary"].map(
    (action) => ({
      action: `iam:${action}`,
      resource: roleArn(executionRole),
    }),
  ),
  ...["CreatePolicyVersion", "SetDefaultPolicyVersion"].map((action) => ({
    action: `iam:${action}`,
    resource: policyArn("execution"),
  })),
  { action: "iam:PassRole", resource: roleArn(executionRole) },
  {
    action: "iam:PassRole",
    resource: roleArn(executionRole),
    context: { "iam:PassedToService": "lambda.amazonaws.com" },
  },
  {
    action: "iam:PassRole",
    resource: roleArn("strongroom-internal-vault", "/strongroom/platform/"),
    context: passed,
  },
  { action: "iam:GetRole", resource: roleArn("strongroom-gateway", "/strongroom/platform/") },
  { action: "iam:DeleteRole", resource: roleArn("strongroom-gateway", "/strongroom/platform/") },
  { action: "sts:AssumeRole", resource: roleArn(executionRole) },
  // ECS: the platform's own services and definitions, other clusters, tasks started by hand.
  ...["control-plane", "gateway", "internal-vault", "operator"].map((name) => ({
    action: "ecs:RegisterTaskDefinition",
    resource: ecs(`task-definition/strongroom-${name}:1`),
  })),
  {
    action: "ecs:UpdateService",
    resource: ecs("service/strongroom-services/gateway"),
    context: { "ecs:cluster": ecs("cluster/strongroom-services") },
  },
  {
    action: "ecs:CreateService",
    resource: ecs(`service/strongroom-orgs/${service}`),
    context: { "ecs:cluster": ecs("cluster/strongroom-services") },
  },
  { action: "ecs:CreateService", resource: ecs("service/strongroom-orgs/anything"), context: cluster },
  { action: "ecs:RunTask", resource: ecs(`task-definition/${service}:1`), context: cluster },
  { action: "ecs:ListTasks", resource: "*", context: { "ecs:cluster": ecs("cluster/strongroom-internal") } },
  {
    action: "ecs:DescribeTasks",
    resource: ecs("task/strongroom-orgs/0123456789abcdef"),
    context: { "ecs:cluster": ecs("cluster/strongroom-internal") },
  },
  {
    action: "ecs:DescribeTasks",
    resource: ecs("task/strongroom-internal/0123456789abcdef"),
    context: cluster,
  },
  { action: "ecs:TagResource", resource: ecs("service/strongroom-services/gateway") },
  // The rest.
  {
    action: "servicediscovery:CreateService",
    resource: deployment.resource("StrongroomInternalVault", "AWS::ServiceDiscovery::PrivateDnsNamespace")
      .arn,
  },
  { action: "logs:DeleteLogGroup", resource: `arn:aws:logs:${REGION}:${ACCOUNT}:log-group:${logGroup}` },
  {
    action: "logs:CreateLogGroup",
    resource: `arn:aws:logs:${REGION}:${ACCOUNT}:log-group:/strongroom/platform/gateway`,
  },
  {
    action: "s3:GetObject",
    resource: `${deployment.resource("StrongroomInternalVault", "AWS::S3::Bucket", "Storage").arn}/core/seal-config`,
  },
];
