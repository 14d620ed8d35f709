import type { Stack } from "aws-cdk-lib";
import type { PolicyStatement } from "aws-cdk-lib/aws-iam";
import { KINDS, PURPOSES, type Purpose } from "../../../services/shared/work/kinds.ts";
import { allow, deny } from "../org-policies.ts";
import { boundContext } from "./bound-context.ts";
import { INTAKE_TABLE, type QueueName, queueArn } from "./names.ts";
import { RECEIPT_SIGNATURE } from "./receipts-key.ts";
import type { CredentialSettings } from "./settings.ts";
import { DESCRIBE_QUEUE } from "./worker-policy.ts";

const TAKE = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"];

export interface IntakeResources {
  stack: Stack;
  settings: CredentialSettings;
  /** The workers' keys. */
  keyArns: Record<Purpose, string>;
  receiptsKeyArn: string;
  tableArn: string;
  tableKeyArn: string;
}

/**
 * All of the intake's permissions on AWS: make data keys, sign receipts, send jobs, take results, use its table. The Deny statements
 * hold against whatever else may be attached to its role.
 */
export function intakePolicy(of: IntakeResources): PolicyStatement[] {
  const { stack, settings, keyArns, receiptsKeyArn, tableArn, tableKeyArn } = of;
  const queues = (name: QueueName) => KINDS.map((kind) => queueArn(stack, settings, kind, name));
  return [
    ...PURPOSES.map((purpose) =>
      allow(
        `MakeDataKeysFor${purpose[0]?.toUpperCase()}${purpose.slice(1)}`,
        ["kms:GenerateDataKey"],
        [keyArns[purpose]],
        boundContext(purpose),
      ),
    ),
    allow("SignReceipts", ["kms:Sign"], [receiptsKeyArn], RECEIPT_SIGNATURE),
    allow("ShowReceiptsKey", ["kms:GetPublicKey"], [receiptsKeyArn]),
    allow("SendJobs", ["sqs:SendMessage", ...DESCRIBE_QUEUE], queues("jobs")),
    allow("TakeResults", [...TAKE, ...DESCRIBE_QUEUE], queues("results")),
    allow(
      "Table",
      // A transaction needs the permissions of its writes.
      ["dynamodb:GetItem", "dynamodb:Query", "dynamodb:UpdateItem", "dynamodb:DeleteItem"],
      [tableArn],
    ),
    // DynamoDB asks for it with the caller's permissions. It opens nothing but this table, through DynamoDB.
    allow("TableCiphertexts", ["kms:Decrypt"], [tableKeyArn], {
      StringEquals: {
        "kms:ViaService": `dynamodb.${stack.region}.amazonaws.com`,
        "kms:EncryptionContext:aws:dynamodb:tableName": INTAKE_TABLE,
      },
    }),
    deny("Opening", ["kms:Decrypt", "kms:ReEncrypt*", "kms:CreateGrant"], { notResources: [tableKeyArn] }),
    deny("OtherSignatures", ["kms:Sign", "kms:GenerateMac"], { notResources: [receiptsKeyArn] }),
    deny("TakingJobs", [...TAKE, "sqs:PurgeQueue", "sqs:StartMessageMoveTask"], {
      notResources: queues("results"),
    }),
    deny("Parameters", ["ssm:*", "secretsmanager:*", "sts:AssumeRole"], { resources: ["*"] }),
  ];
}
