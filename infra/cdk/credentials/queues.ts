import { Duration, Size, Stack, Validations } from "aws-cdk-lib";
import { AccountPrincipal, AnyPrincipal, Effect, PolicyStatement } from "aws-cdk-lib/aws-iam";
import { type IQueue, Queue, QueueEncryption, RedrivePermission } from "aws-cdk-lib/aws-sqs";
import { Construct } from "constructs";
import type { Kind } from "../../../services/shared/work/kinds.ts";
import {
  intakeRole,
  platformRoleArn,
  type QueueName,
  queueArn,
  queuePrefix,
  redriveRole,
  workerService,
} from "./names.ts";
import type { CredentialSettings } from "./settings.ts";

const VISIBILITY = Duration.seconds(60);
/** SQS's own maximum. It counts from a message's first sending, so it must exceed the retention of the queue. */
const KEEP_DEAD = Duration.days(14);
const KEEP_JOBS = Duration.days(4);
/** A result contains an answer in clear, and its job is overdue long before. */
const KEEP_RESULTS = Duration.days(1);
/** The last resort, for messages that end their reader each time. The services park much earlier, with a reason. */
const MAX_RECEIVES = 100;

const SEND = ["sqs:SendMessage"];
const TAKE = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"];

/**
 * The queues of one kind: jobs from the intake to the worker, their dead letters, and results back, which have none:
 * they are in clear, and the intake drops those that it cannot take. Encrypted with SQS's own key: what is secret in a
 * job is sealed already, and a customer key would require that the intake may decrypt with it. Who may send and take is
 * decided by the queue's policy, also against other policies of the account.
 */
export class WorkQueues extends Construct {
  readonly jobs: Queue;
  readonly deadJobs: Queue;
  readonly results: Queue;

  constructor(scope: Construct, id: string, kind: Kind, settings: CredentialSettings) {
    super(scope, id);
    const stack = Stack.of(this);
    const intake = intakeRole(stack, settings);
    const worker = platformRoleArn(stack, `strongroom-${workerService(kind)}`);
    const redrive = platformRoleArn(stack, redriveRole(kind));
    const queue = (name: QueueName, more: object): Queue =>
      new Queue(this, name, {
        queueName: `${queuePrefix(kind)}${name}`,
        encryption: QueueEncryption.SQS_MANAGED,
        enforceSSL: true,
        visibilityTimeout: VISIBILITY,
        receiveMessageWaitTime: Duration.seconds(20),
        maxMessageSizeBytes: Size.mebibytes(1).toBytes(),
        ...more,
      });
    const source = Queue.fromQueueArn(this, "jobs-source", queueArn(stack, settings, kind, "jobs"));
    this.deadJobs = queue("jobs-dead", { retentionPeriod: KEEP_DEAD, redriveAllowPolicy: only(source) });
    this.jobs = queue("jobs", {
      retentionPeriod: KEEP_JOBS,
      deadLetterQueue: { queue: this.deadJobs, maxReceiveCount: MAX_RECEIVES },
    });
    this.results = queue("results", { retentionPeriod: KEEP_RESULTS });
    Validations.of(this.results).acknowledge({
      id: "AwsSolutions-SQS3",
      reason: "A result is in clear: a dead letter would keep it for days, and its job ends without it",
    });

    restrict(this.jobs, { send: [intake.arn, redrive], take: [worker] });
    restrict(this.deadJobs, { send: [worker], take: [redrive] });
    restrict(this.results, { send: [worker], take: [intake.arn] });
    if (intake.account === stack.account) return;
    // Roles of the queue's own account need no permission of the queue's; those of another account do.
    admit(this.jobs, intake, "IntakeSends", SEND);
    admit(this.results, intake, "IntakeTakes", TAKE);
  }
}

const only = (source: IQueue) => ({
  redrivePermission: RedrivePermission.BY_QUEUE,
  sourceQueues: [source],
});

/** Refuses everyone but these roles, whatever other policies say. */
function restrict(queue: Queue, { send, take }: { send: string[]; take: string[] }): void {
  for (const [sid, actions, roles] of [
    ["OthersSend", SEND, send],
    ["OthersTake", TAKE, take],
  ] as const) {
    queue.addToResourcePolicy(
      new PolicyStatement({
        sid: `Deny${sid}`,
        effect: Effect.DENY,
        principals: [new AnyPrincipal()],
        actions: [...actions],
        resources: [queue.queueArn],
        conditions: { ArnNotEquals: { "aws:PrincipalArn": roles } },
      }),
    );
  }
}

function admit(queue: Queue, role: { arn: string; account: string }, sid: string, actions: string[]): void {
  queue.addToResourcePolicy(
    new PolicyStatement({
      sid,
      principals: [new AccountPrincipal(role.account)],
      actions: [...actions, "sqs:GetQueueAttributes", "sqs:GetQueueUrl"],
      resources: [queue.queueArn],
      conditions: { ArnEquals: { "aws:PrincipalArn": role.arn } },
    }),
  );
}
