import { CreateQueueCommand, GetQueueAttributesCommand, SQSClient } from "@aws-sdk/client-sqs";
import { clientOf } from "./cell.ts";

/**
 * Makes the queues of a kind of worker in an emulator, as the infrastructure makes them on AWS, and returns the
 * beginning of their URLs. SQS's own redrive is a backstop behind that of the consumers, so it counts further.
 */
export async function makeQueues(endpoint: string, prefix: string, maxReceiveCount = 1_000): Promise<string> {
  const client = new SQSClient(clientOf(endpoint));
  const make = async (name: string, Attributes: Record<string, string> = {}) => {
    const command = new CreateQueueCommand({ QueueName: `${prefix}${name}`, Attributes });
    return (await client.send(command)).QueueUrl ?? "";
  };
  const { Attributes } = await client.send(
    new GetQueueAttributesCommand({ QueueUrl: await make("jobs-dead"), AttributeNames: ["QueueArn"] }),
  );
  const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: Attributes?.QueueArn, maxReceiveCount });
  await make("jobs", { RedrivePolicy });
  const url = await make("results");
  client.destroy();
  return url.replace(/results$/, "");
}
