import { join } from "node:path";
import { ConfigError } from "../config.ts";
import { embeddedQueue } from "./embedded.ts";
import type { DeadLetters, Queue } from "./queue.ts";

/** The form of the settings `STRONGROOM_QUEUES` and `STRONGROOM_<KIND>_QUEUES`. */
export const QUEUES_PATTERN = "^(local:.+|sqs:https?://.+)$";

/** The two queues between the intake and the workers of one kind. */
export interface Queues {
  jobs: Queue;
  /** Has no dead letters: a result contains an answer in clear. */
  results: Queue;
  /** Of the jobs, which are sealed. */
  deadLetters: DeadLetters;
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
      ? (name: string, hasDeadLetters: boolean) =>
          embeddedQueue(join(place, `${name}.sqlite`), { hasDeadLetters })
      : await openSqs(place, aws);
  const [jobs, results] = await Promise.all([open("jobs", true), open("results", false)]);
  return { jobs, results, deadLetters: jobs.deadLetters };
}

async function openSqs(prefix: string, aws: { region?: string }) {
  // Loaded only here: the AWS SDK takes longer to load than everything else.
  const { sqsQueue } = await import("./sqs.ts");
  return (name: string, hasDeadLetters: boolean) =>
    sqsQueue({
      queueUrl: `${prefix}${name}`,
      ...(hasDeadLetters && { deadLetterUrl: `${prefix}${name}-dead` }),
      ...aws,
    });
}
