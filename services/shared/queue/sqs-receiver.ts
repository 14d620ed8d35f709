import { setTimeout as sleep } from "node:timers/promises";
import { type Message, SQSClient, type SQSClientConfig } from "@aws-sdk/client-sqs";
import { clientSettings } from "../aws/client-settings.ts";
import { Polls } from "./sqs-polls.ts";

const ATTEMPTS = 3;
/** sqs-consumer polls again at once after an error of the network. */
const ERROR_MS = 1_000;

export interface ReceiverOptions {
  settings: SQSClientConfig;
  /** How many consumers share the client. */
  consumers: number;
  longPollSeconds: number;
  /** Aborted when no more messages are wanted. */
  stopping: AbortSignal;
  /** A heartbeat has succeeded. */
  extended(receiptHandle: string): void;
}

export interface Receiver {
  client: SQSClient;
  /** Resolves once the polls under way have ended. A poll that is cut off may take a message with it. */
  drained(): Promise<unknown>;
}

/**
 * A client for sqs-consumer, which polls for as many messages as it may handle even if none come, again and again after
 * an error, and does not tell of heartbeats that succeed.
 */
export function receivingClient(options: ReceiverOptions): Receiver {
  const { settings, consumers, longPollSeconds, stopping, extended } = options;
  const client = new SQSClient({ ...settings, ...clientSettings(ATTEMPTS, (longPollSeconds + 5) * 1000) });
  const polls = new Polls(consumers);
  const underWay = new Set<Promise<unknown>>();

  const receive = async <T>(send: () => Promise<T>): Promise<T> => {
    stopping.throwIfAborted();
    const answer = send();
    underWay.add(answer);
    try {
      return await answer;
    } catch (error) {
      if (!stopping.aborted) await sleep(ERROR_MS, undefined, { ref: false });
      throw error;
    } finally {
      underWay.delete(answer);
    }
  };

  client.middlewareStack.add(
    (next, context) => async (args) => {
      if (context.commandName === "ReceiveMessageCommand") {
        return polls.run(
          () => receive(() => next(args)),
          ({ output }) => ((output as { Messages?: Message[] }).Messages ?? []).length === 0,
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
  return { client, drained: () => Promise.allSettled([...underWay]) };
}
