import { SQSClient, type SQSClientConfig } from "@aws-sdk/client-sqs";
import { awsError } from "../aws/aws-error.ts";
import { clientSettings } from "../aws/client-settings.ts";
import { QueueUnavailableError } from "./queue.ts";

export interface SqsOptions {
  queueUrl: string;
  /** The queue that takes the dead letters of the first one. Without it, what would be parked is deleted. */
  deadLetterUrl?: string;
  /** Default: the SDK's, as for endpoint and credentials. */
  region?: string;
  endpoint?: string;
  credentials?: NonNullable<SQSClientConfig["credentials"]>;
  /** How long a poll waits for a message: at most 20. To stop takes up to as long. */
  longPollSeconds?: number;
}

/** What the parts of an SQS queue share. */
export interface SqsCalls {
  client: SQSClient;
  queueUrl: string;
  deadLetterUrl: string | undefined;
  longPollSeconds: number;
  /** Settings of further clients. */
  settings: SQSClientConfig;
  /** Sends a command. Throws {@link QueueUnavailableError} with AWS's code and nothing of the message. */
  call<T>(operation: string, send: () => Promise<T>): Promise<T>;
}

const ATTEMPTS = 3;
const LONG_POLL_SECONDS = 5;

export function sqsCalls(options: SqsOptions): SqsCalls {
  const { queueUrl, deadLetterUrl, longPollSeconds = LONG_POLL_SECONDS, ...settings } = options;
  return {
    longPollSeconds,
    client: new SQSClient({ ...settings, ...clientSettings(ATTEMPTS) }),
    queueUrl,
    deadLetterUrl,
    settings,
    async call(operation, send) {
      try {
        return await send();
      } catch (error) {
        // AWS's message may repeat parts of ours.
        const cause = awsError(`SQS ${operation}`, error, { withMessage: false });
        throw new QueueUnavailableError(cause.message, { cause });
      }
    },
  };
}
