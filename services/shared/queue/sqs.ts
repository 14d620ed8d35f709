import { SendMessageCommand } from "@aws-sdk/client-sqs";
import { checkOutgoing } from "./limits.ts";
import { type Consumption, type DeadLetters, NO_DEAD_LETTERS, type Queue } from "./queue.ts";
import { type SqsOptions, sqsCalls } from "./sqs-calls.ts";
import { consumeSqs } from "./sqs-consumption.ts";
import { sqsDeadLetters } from "./sqs-dead-letters.ts";

/**
 * A standard SQS queue and its dead letters, if it has any. Messages carry their group as `MessageGroupId`, by which SQS delivers
 * fairly between groups.
 */
export function sqsQueue(options: SqsOptions): Queue & { deadLetters: DeadLetters } {
  const calls = sqsCalls(options);
  const { client, queueUrl, deadLetterUrl, call } = calls;
  let consumption: Consumption | undefined;

  return {
    async send(message) {
      checkOutgoing(message);
      const { body, group, delaySeconds = 0 } = message;
      const command = new SendMessageCommand({
        QueueUrl: queueUrl,
        MessageBody: body,
        MessageGroupId: group,
        ...(delaySeconds > 0 && { DelaySeconds: Math.ceil(delaySeconds) }),
      });
      await call("SendMessage", () => client.send(command));
    },
    consume(consumeOptions, handler) {
      if (consumption) throw new Error("a queue is consumed once");
      consumption = consumeSqs(calls, consumeOptions, handler);
      return consumption;
    },
    async close() {
      await consumption?.stop(0);
      client.destroy();
    },
    deadLetters: deadLetterUrl === undefined ? NO_DEAD_LETTERS : sqsDeadLetters(calls, deadLetterUrl),
  };
}
