import type { Stack } from "aws-cdk-lib";
import type { PolicyStatement } from "aws-cdk-lib/aws-iam";
import { type Kind, PURPOSES, type Purpose } from "../../../services/shared/work/kinds.ts";
import { allow, deny } from "../org-policies.ts";
import { boundContext } from "./bound-context.ts";
import { queueArn } from "./names.ts";
import type { CredentialSettings } from "./settings.ts";

/** What describes a queue to its users: SQS clients ask for it. */
export const DESCRIBE_QUEUE = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"];

export const isPurpose = (kind: Kind): kind is Purpose => PURPOSES.some((purpose) => purpose === kind);

/**
 * All of a worker's permissions on AWS: its own queues, and its own key if it has one. The Deny statements hold against
 * whatever else may be attached to its role.
 */
export function workerPolicy(
  stack: Stack,
  settings: CredentialSettings,
  kind: Kind,
  keyArn: string | undefined,
): PolicyStatement[] {
  const queue = (name: Parameters<typeof queueArn>[3]) => queueArn(stack, settings, kind, name);
  const own = [queue("jobs"), queue("results"), queue("jobs-dead")];
  return [
    allow(
      "TakeJobs",
      ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", ...DESCRIBE_QUEUE],
      [queue("jobs")],
    ),
    allow("SendResults", ["sqs:SendMessage", ...DESCRIBE_QUEUE], [queue("results")]),
    allow("ParkJobs", ["sqs:SendMessage", ...DESCRIBE_QUEUE], [queue("jobs-dead")]),
    ...(keyArn && isPurpose(kind)
      ? [
          allow("OwnDataKeys", ["kms:Decrypt", "kms:GenerateDataKey"], [keyArn], boundContext(kind)),
          deny("OtherKeys", ["kms:*"], { notResources: [keyArn] }),
        ]
      : [deny("Keys", ["kms:*"], { resources: ["*"] })]),
    deny("OtherQueues", ["sqs:*"], { notResources: own }),
    deny("StoresAndParameters", ["dynamodb:*", "s3:*", "ssm:*", "secretsmanager:*", "sts:AssumeRole"], {
      resources: ["*"],
    }),
  ];
}
