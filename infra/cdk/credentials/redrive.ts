import { Duration, Stack } from "aws-cdk-lib";
import { AccountPrincipal, Role } from "aws-cdk-lib/aws-iam";
import type { Construct } from "constructs";
import type { Kind } from "../../../services/shared/work/kinds.ts";
import { PLATFORM_ROLE_PATH } from "../container.ts";
import { allow } from "../org-policies.ts";
import { redriveRole } from "./names.ts";
import type { WorkQueues } from "./queues.ts";
import { DESCRIBE_QUEUE } from "./worker-policy.ts";

/**
 * The role by which an operator looks at the dead letters of jobs and has SQS move them back to their queue. No service
 * has it; the account's own policies say which people may assume it, and CloudTrail records each time.
 */
export function redriveRoleFor(scope: Construct, id: string, kind: Kind, queues: WorkQueues): Role {
  const role = new Role(scope, id, {
    roleName: redriveRole(kind),
    path: PLATFORM_ROLE_PATH,
    description: `Operators of the ${kind} worker move its dead letters back`,
    maxSessionDuration: Duration.hours(1),
    assumedBy: new AccountPrincipal(Stack.of(scope).account),
  });
  const move = ["sqs:StartMessageMoveTask", "sqs:CancelMessageMoveTask", "sqs:ListMessageMoveTasks"];
  role.addToPolicy(
    allow(
      "TakeDeadLetters",
      ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", ...move, ...DESCRIBE_QUEUE],
      [queues.deadJobs.queueArn],
    ),
  );
  role.addToPolicy(allow("SendBack", ["sqs:SendMessage", ...DESCRIBE_QUEUE], [queues.jobs.queueArn]));
  return role;
}
