import { CloudWatchLogsClient, paginateFilterLogEvents } from "@aws-sdk/client-cloudwatch-logs";
import { type AwsError, awsError, hasAwsCode } from "../../shared/aws/aws-error.ts";
import { clientSettings } from "../../shared/aws/client-settings.ts";
import { Failure } from "../failure.ts";
import type { Progress } from "../progress.ts";
import { parseRecord } from "./trace.ts";

/** AWS allows an account 5 of these calls per second; the SDK backs off when throttled. */
const ATTEMPTS = 8;
/** One call searches a part of the group, even if nothing there matches. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Hours of reading; bounds an endpoint that pages forever. */
const MAX_PAGES = 100_000;
const OPERATION = "CloudWatch Logs FilterLogEvents";

/**
 * The records of a CloudWatch log group that contain a text, from all its streams; each event is a JSON object.
 * The AWS SDK's defaults set Region and credentials. It reads the whole group or throws: {@link Failure} if the
 * group does not exist or access is denied, AwsError if AWS does not answer.
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
    // Quoted, so that the text matches literally, including hyphens.
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
      "Pass the log group of the internal Vault's task, /strongroom/platform/internal-vault, and check AWS_REGION",
    );
  }
  if (hasAwsCode(error, "AccessDeniedException")) {
    return new Failure(
      "permission",
      error.message,
      "Run this command in an operator's task, whose role may read the internal Vault's log group (docs/aws.md)",
    );
  }
  return error;
}
