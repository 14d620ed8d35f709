import { join } from "node:path";
import { ConfigError } from "../config.ts";
import { embeddedQueue } from "./embedded.ts";
import type { DeadLetters, Queue } from "./queue.ts";

/** The form of the settings `STRONGROOM_QUEUES` and `STRONGROOM_<KIND>_QUEUES`. */
export const QUEUES_PATTERN = "^(local:.+|sqs:https?://.+)$";

/** The two queues between the intake and the workers of one kind. */
export interface Queues {
  jobs: Queue;
  results: Queue;
  /** Of the jobs. */
  deadLetters: DeadLetters;
  deadResults: DeadLetters;
}

/**
 * Opens the queues that a setting names: `local:FOLDER`, or `sqs:PREFIX` with the beginning of the queues' URLs. Region,
 * endpoint and credentials are the AWS SDK's own unless given. Throws ConfigError for any other setting.
 */
export async function openQueues(setting: string, aws: { region?: string } = {}): Promise<Queues> {
  if (!new RegExp(QUEUES_PATTERN).test(setting)) {
    throw new ConfigError(
      "the queues' setting: expected local:FOLDER, or sqs:PREFIX with the beginning of the queues' URLs",
    );
  }
  const [kind = "", place = ""] = setting.split(/:(.*)/s);
  const open =
    kind === "local"
      ? (name: string) => embeddedQueue(join(place, `${name}.sqlite`))
      : await openSqs(place, aws);
  const [jobs, results] = await Promise.all([open("jobs"), open("results")]);
  return { jobs, results, deadLetters: jobs.deadLetters, deadResults: results.deadLetters };
}

async function openSqs(prefix: string, aws: { region?: string }) {
  // Loaded only here: the AWS SDK takes longer to load than everything else.
  const { sqsQueue } = await import("./sqs.ts");
  return (name: string) =>
    sqsQueue({ queueUrl: `${prefix}${name}`, deadLetterUrl: `${prefix}${name}-dead`, ...aws });
}
