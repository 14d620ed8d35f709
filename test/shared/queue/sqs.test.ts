import { PurgeQueueCommand, SQSClient } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, inject } from "vitest";
import { sqsQueue } from "../../../services/shared/queue/sqs.ts";
import { clientOf } from "../../harness/aws/cell.ts";
import { describeOnAws } from "../../harness/aws/describe.ts";
import { type MotoServer, startMoto } from "../../harness/aws/moto.ts";
import { makeQueues } from "../../harness/aws/queues.ts";
import { queueContract } from "./contract.ts";

describeOnAws("a queue at SQS", () => {
  let moto: MotoServer;
  let queues = 0;
  beforeAll(async () => {
    moto = await startMoto(inject("moto"));
  });
  afterAll(() => moto?.stop());

  queueContract(async () => {
    const prefix = await makeQueues(moto.endpoint, `q${++queues}-`);
    const queueUrl = `${prefix}jobs`;
    const settings = clientOf(moto.endpoint);
    return {
      open: async () =>
        sqsQueue({ queueUrl, deadLetterUrl: `${queueUrl}-dead`, longPollSeconds: 1, ...settings }),
      async takeAway() {
        const client = new SQSClient(settings);
        await client.send(new PurgeQueueCommand({ QueueUrl: queueUrl }));
        client.destroy();
      },
    };
  });
});
