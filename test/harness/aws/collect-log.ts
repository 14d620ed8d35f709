import {
  type CloudWatchLogsClient,
  CreateLogStreamCommand,
  PutLogEventsCommand,
} from "@aws-sdk/client-cloudwatch-logs";

/** One call takes 1 MiB. */
const LINES_AT_ONCE = 100;

/** Puts what a container has written into a stream of its own in a log group, as `awslogs` does: an event a line. */
export async function collectLog(
  logs: CloudWatchLogsClient,
  logGroupName: string,
  logStreamName: string,
  lines: string[],
): Promise<void> {
  await logs.send(new CreateLogStreamCommand({ logGroupName, logStreamName }));
  for (let from = 0; from < lines.length; from += LINES_AT_ONCE) {
    const logEvents = lines
      .slice(from, from + LINES_AT_ONCE)
      .map((message) => ({ message, timestamp: Date.now() }));
    await logs.send(new PutLogEventsCommand({ logGroupName, logStreamName, logEvents }));
  }
}
