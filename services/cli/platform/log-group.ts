import { CloudWatchLogsClient, paginateFilterLogEvents } from "@aws-sdk/client-cloudwatch-logs";
import { type AwsError, awsError, hasAwsCode } from "../../shared/aws/aws-error.ts";
import { clientSettings } from "../../shared/aws/client-settings.ts";
import type { Progress } from "../../shared/progress.ts";
import { Failure } from "../failure.ts";
import { parseRecord } from "./trace.ts";

/** An account answers 5 of these calls a second, and the SDK waits longer each time it is told to. */
const ATTEMPTS = 8;
/** One call searches a part of the group, whether it finds anything there or not. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Hours of reading, and a bound if an endpoint pages for ever. */
const MAX_PAGES = 100_000;
const OPERATION = "CloudWatch Logs FilterLogEvents";

/**
 * The records of a log group of CloudWatch Logs, a JSON object an event, that hold a text, from all its streams.
 * Region and credentials are the AWS SDK's own. It reads the whole group, or throws: {@link Failure} if there is
 * no such group or it may not be read, AwsError if AWS does not answer.
 */
export async function* recordsInLogGroup(
  logGroupName: string,
  text: string,
  progress: Progress,
): AsyncGenerator<Record<string, unknown>> {
  const client = new CloudWatchLogsClient(clientSettings(ATTEMPTS, REQUEST_TIMEOUT_MS));
  const step = progress.step(`Reading the log group ${logGroupName}`);
  let pages = 0;
  let found = 0;
  try {
    // Quotation marks: the text as it is, hyphens too.
    const input = { logGroupName, filterPattern: `"${text}"` };
    for await (const { events = [] } of paginateFilterLogEvents({ client }, input)) {
      if (++pages > MAX_PAGES) {
        throw new Failure("failure", `The log group ${logGroupName} has more than ${MAX_PAGES} pages`);
      }
      for (const { message = "" } of events) {
        const record = message.includes(text) ? parseRecord(message) : undefined;
        if (!record) continue;
        found++;
        yield record;
      }
      step.update(`${pages} pages, ${found} records`);
    }
    step.done(`${found} records on ${pages} pages`);
  } catch (error) {
    step.fail();
    throw error instanceof Failure ? error : readFailure(logGroupName, awsError(OPERATION, error));
  } finally {
    client.destroy();
  }
}

function readFailure(logGroupName: string, error: AwsError): Error {
  if (hasAwsCode(error, "ResourceNotFoundException")) {
    return new Failure(
      "usage",
      `There is no log group ${logGroupName} in this account and Region`,
      "Name the one that the internal Vault's task writes to, /strongroom/platform/internal-vault; AWS_REGION says where it is looked for",
    );
  }
  if (hasAwsCode(error, "AccessDeniedException")) {
    return new Failure(
      "permission",
      error.message,
      "Run it in an operator's task, whose role may read the internal Vault's log group (docs/aws.md)",
    );
  }
  return error;
}
