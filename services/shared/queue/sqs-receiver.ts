import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { type Message, SQSClient, type SQSClientConfig } from "@aws-sdk/client-sqs";
import { clientSettings } from "../aws/client-settings.ts";
import { Polls } from "./sqs-polls.ts";

/** SQS's longest poll. */
export const LONG_POLL_SECONDS = 20;
const ATTEMPTS = 3;
/** sqs-consumer polls again at once after an error of the network. */
const ERROR_MS = 1_000;

export interface ReceiverOptions {
  settings: SQSClientConfig;
  /** How many consumers share the client. */
  consumers: number;
  /** Aborted when no more messages are wanted. */
  stopping: AbortSignal;
  /** Gets the messages of a poll that ended after `stopping`. */
  tooLate(messages: Message[]): void;
  /** A heartbeat has succeeded. */
  extended(receiptHandle: string): void;
}

/**
 * A client for sqs-consumer, which cannot end a long poll without also ending the calls for messages in hand, and does
 * not tell of heartbeats that succeed.
 */
export function receivingClient(options: ReceiverOptions): SQSClient {
  const { settings, consumers, stopping, tooLate, extended } = options;
  const client = new SQSClient({
    ...settings,
    ...clientSettings(ATTEMPTS, (LONG_POLL_SECONDS + 5) * 1000),
  });
  setMaxListeners(0, stopping);
  const polls = new Polls(consumers);
  type Output = { output: { Messages?: Message[] } };

  const receive = async <T extends Output>(send: () => Promise<T>): Promise<T> => {
    stopping.throwIfAborted();
    const answer = send();
    try {
      return await endedBy(stopping, answer);
    } catch (error) {
      if (stopping.aborted) answer.then(({ output }) => tooLate(output.Messages ?? [])).catch(() => {});
      else await sleep(ERROR_MS, undefined, { signal: stopping }).catch(() => {});
      throw error;
    }
  };

  client.middlewareStack.add(
    (next, context) => async (args) => {
      if (context.commandName === "ReceiveMessageCommand") {
        const send = () => next(args) as Promise<Awaited<ReturnType<typeof next>> & Output>;
        return polls.run(
          () => receive(send),
          ({ output }) => (output.Messages ?? []).length === 0,
        );
      }
      const result = await next(args);
      if (context.commandName === "ChangeMessageVisibilityCommand") {
        extended((args.input as { ReceiptHandle?: string }).ReceiptHandle ?? "");
      }
      return result;
    },
    { step: "initialize", name: "receiver" },
  );
  return client;
}

/** The promise's outcome, or a rejection as soon as the signal is aborted. */
export function endedBy<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
