import { setTimeout as sleep } from "node:timers/promises";
import {
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  type Message,
  SendMessageCommand,
} from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";
import { checkConsume, reasonText, retryWait, THROWN_SECONDS, TOO_MANY_RECEIVES } from "./limits.ts";
import {
  type ConsumeOptions,
  type Consumption,
  type Disposition,
  type Handler,
  QueueUnavailableError,
} from "./queue.ts";
import { Slots } from "./slots.ts";
import type { SqsCalls } from "./sqs-calls.ts";
import { PARKED_AT, REASON } from "./sqs-dead-letters.ts";
import { receivingClient } from "./sqs-receiver.ts";

/** SQS says by these that a message is no longer ours. */
const LOST_CODES = /ReceiptHandleIsInvalid|MessageNotInflight|InvalidParameterValue/;
/** How long to wait for a refused poll, which sqs-consumer repeats. */
const REFUSED_MS = 5_000;

const LOST = new Error("the message's lease was lost");
const STOPPED = new Error("the consumption has stopped");

interface InHand {
  message: Message;
  lease: AbortController;
  /** When the lease ends unless it is extended. */
  until: number;
  done: Promise<void>;
}

/**
 * Consumes an SQS queue. Each handler has an sqs-consumer of its own that takes one message: one that takes ten waits
 * for the slowest of them.
 */
export function consumeSqs(queue: SqsCalls, options: ConsumeOptions, handler: Handler): Consumption {
  checkConsume(options);
  const { concurrency, maxReceives, perGroup = concurrency } = options;
  const visibilityTimeout = Math.ceil(options.visibilitySeconds);
  const inHand = new Map<string, InHand>();
  const stopping = new AbortController();
  const slots = new Slots(concurrency, perGroup);
  // Messages of groups that have enough in hand wait here, and leave room for others'.
  const consumerCount = perGroup < concurrency ? 2 * concurrency : concurrency;
  const leaseEnd = () => performance.now() + visibilityTimeout * 1000;

  const changeVisibility = ({ ReceiptHandle }: Message, VisibilityTimeout: number) =>
    queue.call("ChangeMessageVisibility", () =>
      queue.client.send(
        new ChangeMessageVisibilityCommand({ QueueUrl: queue.queueUrl, ReceiptHandle, VisibilityTimeout }),
      ),
    );
  const remove = ({ ReceiptHandle }: Message) =>
    queue.call("DeleteMessage", () =>
      queue.client.send(new DeleteMessageCommand({ QueueUrl: queue.queueUrl, ReceiptHandle })),
    );
  /** If this fails, the message comes again after its lease. */
  const handBack = (message: Message) => changeVisibility(message, 0).then(() => {}, ignoreUnavailable);

  async function park(message: Message, reason: string): Promise<void> {
    if (queue.deadLetterUrl === undefined) {
      await remove(message);
      options.onDropped?.(message.Body ?? "", reasonText(reason));
      return;
    }
    const group = message.Attributes?.MessageGroupId;
    const command = new SendMessageCommand({
      QueueUrl: queue.deadLetterUrl,
      MessageBody: message.Body,
      MessageAttributes: {
        [REASON]: { DataType: "String", StringValue: reasonText(reason) },
        [PARKED_AT]: { DataType: "Number", StringValue: String(Date.now()) },
      },
      ...(group && { MessageGroupId: group }),
    });
    await queue.call("SendMessage", () => queue.client.send(command));
    await remove(message);
  }

  async function settle(message: Message, receives: number, disposition: Disposition): Promise<void> {
    if ("done" in disposition) await remove(message);
    else if ("park" in disposition) await park(message, disposition.park);
    else if (receives >= maxReceives) await park(message, TOO_MANY_RECEIVES);
    else await changeVisibility(message, retryWait(disposition.retryAfterSeconds));
  }

  async function handle({ message, lease }: InHand): Promise<void> {
    const receives = Number(message.Attributes?.ApproximateReceiveCount ?? 1);
    if (receives > maxReceives) return park(message, TOO_MANY_RECEIVES);
    const group = message.Attributes?.MessageGroupId ?? "";
    if (!(await slots.enter(group))) return handBack(message);
    if (lease.signal.aborted) return slots.leave(group);
    const handled = Promise.resolve()
      .then(() => handler({ body: message.Body ?? "", receiveCount: receives, signal: lease.signal }))
      .catch((): Disposition => ({ retryAfterSeconds: THROWN_SECONDS }))
      .finally(() => slots.leave(group));
    // sqs-consumer extends the lease as long as we wait, also one that was lost or handed back.
    const disposition = await endedBy(lease.signal, handled).catch(() => undefined);
    if (disposition) await settle(message, receives, disposition);
  }

  function deliver(message: Message): Promise<void> {
    const each: InHand = {
      message,
      lease: new AbortController(),
      until: leaseEnd(),
      done: Promise.resolve(),
    };
    const receipt = message.ReceiptHandle ?? "";
    inHand.set(receipt, each);
    each.done = handle(each)
      .catch(ignoreUnavailable)
      .finally(() => inHand.delete(receipt));
    return each.done;
  }

  function heartbeatFailed(error: Error & { code?: string }, { ReceiptHandle = "" }: Message): void {
    const each = inHand.get(ReceiptHandle);
    if (!each) return;
    const isLost = LOST_CODES.test(error.code ?? "") || each.until <= performance.now();
    if (isLost) each.lease.abort(LOST);
  }

  const { client, drained } = receivingClient({
    settings: queue.settings,
    consumers: consumerCount,
    stopping: stopping.signal,
    longPollSeconds: queue.longPollSeconds,
    extended(receiptHandle) {
      const each = inHand.get(receiptHandle);
      if (each) each.until = leaseEnd();
    },
  });

  const consumers = Array.from({ length: consumerCount }, () => {
    const consumer = Consumer.create({
      sqs: client,
      queueUrl: queue.queueUrl,
      batchSize: 1,
      waitTimeSeconds: queue.longPollSeconds,
      visibilityTimeout,
      heartbeatInterval: visibilityTimeout / 3,
      authenticationErrorTimeout: REFUSED_MS,
      messageSystemAttributeNames: ["ApproximateReceiveCount", "MessageGroupId"],
      handleMessage: async (message) => {
        await deliver(message);
        // It would delete what we return.
        return undefined;
      },
    });
    // A poll that fails is repeated.
    consumer.on("error", (error, about) => {
      for (const message of [about ?? []].flat()) heartbeatFailed(error, message);
    });
    consumer.start();
    return consumer;
  });

  async function stop(graceMs: number): Promise<void> {
    stopping.abort(STOPPED);
    for (const consumer of consumers) consumer.stop();
    // What the last polls receive is handed back.
    slots.close();
    const grace = new AbortController();
    const ended = Promise.all([...inHand.values()].map(({ done }) => done));
    await Promise.race([ended, sleep(graceMs, undefined, { signal: grace.signal }).catch(() => {})]);
    grace.abort();
    // One of them might receive what we hand back.
    await drained();
    const left = [...inHand.values()];
    for (const { lease } of left) lease.abort(STOPPED);
    await Promise.all(left.map(({ done }) => done));
    await Promise.all(left.map(({ message }) => handBack(message)));
    client.destroy();
  }

  let stopped: Promise<void> | undefined;
  return {
    stop(graceMs) {
      stopped ??= stop(graceMs);
      return stopped;
    },
  };
}

function ignoreUnavailable(error: unknown): void {
  if (!(error instanceof QueueUnavailableError)) throw error;
}

/** The promise's outcome, or a rejection as soon as the signal is aborted. */
function endedBy<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    promise.then(resolve, reject);
  });
}
