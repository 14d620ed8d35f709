import { KINDS, PURPOSES, type Purpose } from "../../../services/shared/work/kinds.ts";
import type { Deployment, Resource } from "../deployment.ts";
import { type PolicyDocument, type Request, throughDynamoDb } from "../iam.ts";
import { otherKey, parameterArn, tableArn } from "../org-battery.ts";

/** One question of the matrix: what is asked for, on which resource, and in which way. */
export interface Cell {
  on: string;
  does: string;
  /** Empty if there is only one way. */
  how: string;
  request: Request;
}

const SEALED = { org: "oabcdefghijklmno", credential: "stripe", version: "1", policy: "c29tZSBwb2xpY3k" };

/** As KMS presents an encryption context to IAM. */
function encryptionContext(members: Record<string, string>): Record<string, string | string[]> {
  return {
    ...Object.fromEntries(
      Object.entries(members).map(([key, value]) => [`kms:EncryptionContext:${key}`, value]),
    ),
    "kms:EncryptionContextKeys": Object.keys(members),
  };
}

/** The ways to use a key of a purpose: the first two are what it is for. */
function contexts(purpose: Purpose): Record<string, Record<string, string | string[]>> {
  const right = { ...SEALED, purpose };
  const others = PURPOSES.filter((each) => each !== purpose);
  return {
    right: encryptionContext(right),
    "right, for a job": encryptionContext({ ...right, job: "jabcdefghijklmnopqrstuvwxyz" }),
    ...Object.fromEntries(
      others.map((other) => [`for ${other}`, encryptionContext({ ...right, purpose: other })] as const),
    ),
    ...Object.fromEntries(
      Object.keys(right).map((member) => {
        const { [member as keyof typeof right]: _, ...rest } = right;
        return [`without ${member}`, encryptionContext(rest)] as const;
      }),
    ),
    "with another member": encryptionContext({ ...right, more: "1" }),
    "without a context": {},
  };
}

const WITH_CONTEXT = [
  "GenerateDataKey",
  "GenerateDataKeyWithoutPlaintext",
  "GenerateDataKeyPair",
  "Decrypt",
  "Encrypt",
  "ReEncryptFrom",
  "ReEncryptTo",
];
const WITHOUT_CONTEXT = [
  "CreateGrant",
  "RevokeGrant",
  "ListGrants",
  "PutKeyPolicy",
  "GetKeyPolicy",
  "ListKeyPolicies",
  "ScheduleKeyDeletion",
  "CancelKeyDeletion",
  "DisableKey",
  "EnableKey",
  "EnableKeyRotation",
  "DisableKeyRotation",
  "GetKeyRotationStatus",
  "RotateKeyOnDemand",
  "ListKeyRotations",
  "UpdateKeyDescription",
  "DescribeKey",
  "TagResource",
  "UntagResource",
  "ListResourceTags",
  "ImportKeyMaterial",
  "ReplicateKey",
];

/** The key of a purpose, in the stack of its worker. */
const keyOf = (deployment: Deployment, purpose: Purpose): Resource =>
  deployment.resource(workerStack(purpose), "AWS::KMS::Key", "Key");
export const keyPolicyOf = (deployment: Deployment, purpose: Purpose): PolicyDocument =>
  keyOf(deployment, purpose).properties.KeyPolicy;

export const workerStack = (kind: string): string =>
  `StrongroomWorker${kind[0]?.toUpperCase()}${kind.slice(1)}`;

function keyCells(deployment: Deployment, purpose: Purpose): Cell[] {
  const { arn, properties } = keyOf(deployment, purpose);
  const on = `${purpose} key`;
  const under = { resource: arn, keyPolicy: properties.KeyPolicy as PolicyDocument };
  return [
    ...Object.entries(contexts(purpose)).flatMap(([how, context]) =>
      WITH_CONTEXT.map((does) => ({ on, does, how, request: { action: `kms:${does}`, ...under, context } })),
    ),
    ...WITHOUT_CONTEXT.map((does) => ({ on, does, how: "", request: { action: `kms:${does}`, ...under } })),
  ];
}

const receiptsKey = (deployment: Deployment): Resource =>
  deployment.resource("StrongroomIntake", "AWS::KMS::Key", "ReceiptsKey");
export const receiptsKeyPolicy = (deployment: Deployment): PolicyDocument =>
  receiptsKey(deployment).properties.KeyPolicy;

function receiptsCells(deployment: Deployment): Cell[] {
  const on = "receipts key";
  const { arn: resource } = receiptsKey(deployment);
  const under = { resource, keyPolicy: receiptsKeyPolicy(deployment) };
  const right = { "kms:SigningAlgorithm": "ECDSA_SHA_256", "kms:MessageType": "RAW" };
  const ways = {
    right,
    "of a digest": { ...right, "kms:MessageType": "DIGEST" },
    "by another algorithm": { ...right, "kms:SigningAlgorithm": "ECDSA_SHA_384" },
    "of anything": {},
  };
  return [
    ...Object.entries(ways).flatMap(([how, context]) =>
      ["Sign", "Verify"].map((does) => ({
        on,
        does,
        how,
        request: { action: `kms:${does}`, ...under, context },
      })),
    ),
    ...["GetPublicKey", "Decrypt", "GenerateDataKey", "DeriveSharedSecret", ...WITHOUT_CONTEXT].map(
      (does) => ({
        ...{ on, does, how: "" },
        request: { action: `kms:${does}`, ...under },
      }),
    ),
  ];
}

const QUEUE_ACTIONS = [
  "SendMessage",
  "ReceiveMessage",
  "DeleteMessage",
  "ChangeMessageVisibility",
  "GetQueueAttributes",
  "GetQueueUrl",
  "PurgeQueue",
  "SetQueueAttributes",
  "AddPermission",
  "DeleteQueue",
  "StartMessageMoveTask",
  "CancelMessageMoveTask",
  "ListMessageMoveTasks",
];

/** The queues of all kinds, with their policies. */
export function queuesOf(deployment: Deployment) {
  const policies = deployment.resources("AWS::SQS::QueuePolicy");
  return KINDS.flatMap((kind) =>
    deployment
      .resources("AWS::SQS::Queue")
      .filter(({ stack }) => stack === workerStack(kind))
      .map(({ stack, id, arn, properties }) => {
        const url = deployment.resolve(stack, { Ref: id });
        const own = policies.filter((each) => each.stack === stack && each.properties.Queues.includes(url));
        if (own.length !== 1) throw new Error(`${arn} has ${own.length} policies`);
        return {
          name: String(properties.QueueName).replace(/^strongroom-/, ""),
          arn,
          policy: own[0]?.properties.PolicyDocument as PolicyDocument,
        };
      }),
  );
}

function queueCells(deployment: Deployment): Cell[] {
  return queuesOf(deployment).flatMap(({ name, arn, policy }) => {
    const cell = (does: string, how: string, context?: Record<string, string>): Cell => ({
      on: name,
      does,
      how,
      request: { action: `sqs:${does}`, resource: arn, keyPolicy: policy, ...(context && { context }) },
    });
    return [
      ...QUEUE_ACTIONS.map((does) => cell(does, "")),
      ...["SendMessage", "ReceiveMessage"].map((does) =>
        cell(does, "without TLS", { "aws:SecureTransport": "false" }),
      ),
    ];
  });
}

const TABLE_ACTIONS = [
  "DescribeTable",
  "GetItem",
  "BatchGetItem",
  "Query",
  "Scan",
  "PutItem",
  "UpdateItem",
  "DeleteItem",
  "ConditionCheckItem",
  "UpdateTable",
  "DeleteTable",
  "CreateBackup",
  "RestoreTableToPointInTime",
  "ExportTableToPointInTime",
];

function storeCells(deployment: Deployment): Cell[] {
  const table = deployment.resource("StrongroomIntake", "AWS::DynamoDB::Table");
  const key = deployment.resource("StrongroomIntake", "AWS::KMS::Key", "TableKey");
  const under = { resource: key.arn, keyPolicy: key.properties.KeyPolicy as PolicyDocument };
  const { "kms:ViaService": _, ...byHand } = throughDynamoDb("strongroom-intake");
  const ways = {
    "through DynamoDB": throughDynamoDb("strongroom-intake"),
    "through DynamoDB, another table": throughDynamoDb("strongroom-other"),
    "by hand": byHand,
  };
  const bucket = deployment.resource("StrongroomInternalVault", "AWS::S3::Bucket", "Storage").arn;
  const secret = parameterArn("/strongroom/platform/control-plane/secret-id");
  return [
    ...TABLE_ACTIONS.map((does) => ({
      on: "table",
      does,
      how: "",
      request: { action: `dynamodb:${does}`, resource: table.arn },
    })),
    {
      on: "another table",
      does: "GetItem",
      how: "",
      request: { action: "dynamodb:GetItem", resource: tableArn("strongroom-lock") },
    },
    {
      on: "a key elsewhere",
      does: "Decrypt",
      how: "",
      request: { action: "kms:Decrypt", ...otherKey, context: throughDynamoDb("strongroom-intake") },
    },
    ...["Sign", "GenerateMac", "GetPublicKey"].map((does) => ({
      ...{ on: "a key elsewhere", does, how: "" },
      request: {
        ...{ action: `kms:${does}`, ...otherKey },
        context: { "kms:SigningAlgorithm": "ECDSA_SHA_256", "kms:MessageType": "RAW" },
      },
    })),
    ...Object.entries(ways).flatMap(([how, context]) =>
      ["Decrypt", "GenerateDataKey", "CreateGrant"].map((does) => ({
        on: "table key",
        does,
        how,
        request: { action: `kms:${does}`, ...under, context },
      })),
    ),
    ...Object.entries({
      "s3:GetObject": `${bucket}/core/seal-config`,
      "ssm:GetParameters": secret,
      "secretsmanager:GetSecretValue": secret
        .replace(":ssm:", ":secretsmanager:")
        .replace(/parameter.*/, "secret:any"),
    }).map(([action, resource]) => ({
      on: "elsewhere",
      does: action,
      how: "",
      request: { action, resource },
    })),
    ...KINDS.map((kind): Cell => {
      const role = deployment.resource(workerStack(kind), "AWS::IAM::Role", "Redrive");
      const keyPolicy = role.properties.AssumeRolePolicyDocument as PolicyDocument;
      return {
        on: `redrive-${kind}`,
        does: "sts:AssumeRole",
        how: "",
        request: { action: "sts:AssumeRole", resource: role.arn, keyPolicy },
      };
    }),
  ];
}

/** Every question about credentials: keys, queues, the table, and what no worker has any business with. */
export const credentialCells = (deployment: Deployment): Cell[] => [
  ...PURPOSES.flatMap((purpose) => keyCells(deployment, purpose)),
  ...receiptsCells(deployment),
  ...queueCells(deployment),
  ...storeCells(deployment),
];
