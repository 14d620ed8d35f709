import {
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageCommand,
  type Message,
  ReceiveMessageCommand,
  SendMessageCommand,
} from "@aws-sdk/client-sqs";
import { TOO_MANY_RECEIVES } from "./limits.ts";
import type { DeadLetter, DeadLetters } from "./queue.ts";
import type { SqsCalls } from "./sqs-calls.ts";

/** How long letters that were looked at stay hidden if we cannot put them back. */
const LOOK_SECONDS = 30;
const AT_ONCE = 10;
/** SQS has no way to ask for one message: it must be received among others. */
const MOST_LOOKED_AT = 10_000;

/** Names of a dead letter's message attributes. */
export const REASON = "reason";
export const PARKED_AT = "parked-at";

/** The dead letters of an SQS queue. SQS shows messages only by receiving them: those looked at are put back. */
export function sqsDeadLetters({ client, queueUrl, call }: SqsCalls, deadLetterUrl: string): DeadLetters {
  const receive = async (most: number): Promise<Message[]> => {
    const command = new ReceiveMessageCommand({
      QueueUrl: deadLetterUrl,
      MaxNumberOfMessages: Math.min(most, AT_ONCE),
      VisibilityTimeout: LOOK_SECONDS,
      WaitTimeSeconds: 1,
      MessageSystemAttributeNames: ["SentTimestamp", "MessageGroupId"],
      MessageAttributeNames: [REASON, PARKED_AT],
    });
    return (await call("ReceiveMessage", () => client.send(command))).Messages ?? [];
  };

  const putBack = async (messages: Message[]): Promise<void> => {
    for (let from = 0; from < messages.length; from += AT_ONCE) {
      const Entries = messages.slice(from, from + AT_ONCE).map(({ ReceiptHandle }, index) => ({
        Id: String(index),
        ReceiptHandle,
        VisibilityTimeout: 0,
      }));
      const command = new ChangeMessageVisibilityBatchCommand({ QueueUrl: deadLetterUrl, Entries });
      await call("ChangeMessageVisibilityBatch", () => client.send(command));
    }
  };

  /** Sent before it is deleted: a failure between leaves it in both queues and loses nothing. */
  const redriveOne = async ({ Body, ReceiptHandle, Attributes }: Message): Promise<void> => {
    const MessageGroupId = Attributes?.MessageGroupId;
    const send = new SendMessageCommand({
      QueueUrl: queueUrl,
      MessageBody: Body,
      ...(MessageGroupId && { MessageGroupId }),
    });
    await call("SendMessage", () => client.send(send));
    const remove = new DeleteMessageCommand({ QueueUrl: deadLetterUrl, ReceiptHandle });
    await call("DeleteMessage", () => client.send(remove));
  };

  return {
    async list(limit) {
      const messages: Message[] = [];
      try {
        while (messages.length < Math.min(limit, MOST_LOOKED_AT)) {
          const some = await receive(limit - messages.length);
          if (some.length === 0) break;
          messages.push(...some);
        }
      } finally {
        await putBack(messages);
      }
      return messages.map(letterOf);
    },

    async redrive(id) {
      const others: Message[] = [];
      let total = 0;
      try {
        while (total + others.length < MOST_LOOKED_AT) {
          const some = await receive(AT_ONCE);
          if (some.length === 0) return total;
          for (const message of some) {
            if (id !== undefined && message.MessageId !== id) others.push(message);
            else {
              await redriveOne(message);
              total++;
            }
          }
          if (id !== undefined && total > 0) return total;
        }
        return total;
      } finally {
        await putBack(others);
      }
    },
  };
}

function letterOf({ MessageId, Body, MessageAttributes, Attributes }: Message): DeadLetter {
  return {
    id: MessageId ?? "",
    body: Body ?? "",
    // One that SQS itself moved has no reason.
    reason: MessageAttributes?.[REASON]?.StringValue ?? TOO_MANY_RECEIVES,
    at: Number(MessageAttributes?.[PARKED_AT]?.StringValue ?? Attributes?.SentTimestamp ?? 0),
  };
}
