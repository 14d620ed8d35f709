import { CreateQueueCommand, GetQueueAttributesCommand, SQSClient } from "@aws-sdk/client-sqs";
import { clientOf } from "./cell.ts";

/**
 * Makes the queues of a kind of worker in an emulator, as the infrastructure makes them on AWS, and returns the
 * beginning of their URLs. SQS's own redrive is a backstop behind that of the consumers, so it counts further.
 */
export async function makeQueues(endpoint: string, prefix: string, maxReceiveCount = 1_000): Promise<string> {
  const client = new SQSClient(clientOf(endpoint));
  let url = "";
  for (const name of ["jobs", "results"]) {
    const dead = await client.send(new CreateQueueCommand({ QueueName: `${prefix}${name}-dead` }));
    const { Attributes } = await client.send(
      new GetQueueAttributesCommand({ QueueUrl: dead.QueueUrl, AttributeNames: ["QueueArn"] }),
    );
    const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: Attributes?.QueueArn, maxReceiveCount });
    const queue = await client.send(
      new CreateQueueCommand({ QueueName: `${prefix}${name}`, Attributes: { RedrivePolicy } }),
    );
    url = queue.QueueUrl ?? "";
  }
  client.destroy();
  return url.replace(/results$/, "");
}
