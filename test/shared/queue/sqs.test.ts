import { setTimeout as sleep } from "node:timers/promises";
import { PurgeQueueCommand, SQSClient } from "@aws-sdk/client-sqs";
import { afterAll, afterEach, beforeAll, expect, inject, test } from "vitest";
import { TOO_MANY_RECEIVES } from "../../../services/shared/queue/limits.ts";
import { QueueUnavailableError } from "../../../services/shared/queue/queue.ts";
import { sqsQueue } from "../../../services/shared/queue/sqs.ts";
import { clientOf } from "../../harness/aws/cell.ts";
import { describeOnAws } from "../../harness/aws/describe.ts";
import { type MotoServer, startMoto } from "../../harness/aws/moto.ts";
import { makeQueues } from "../../harness/aws/queues.ts";
import { startWire, type Wire } from "../../harness/aws/wire.ts";
import { queueContract, recorder } from "./contract.ts";

describeOnAws("a queue at SQS", () => {
  let moto: MotoServer;
  let wire: Wire;
  let queues = 0;
  beforeAll(async () => {
    moto = await startMoto(inject("moto"));
    wire = await startWire({ ecs: moto.endpoint, others: moto.endpoint });
  });
  afterAll(async () => {
    await wire?.close();
    await moto?.stop();
  });

  queueContract(async () => {
    const prefix = await makeQueues(moto.endpoint, `q${++queues}-`);
    const queueUrl = `${prefix}jobs`;
    const settings = clientOf(moto.endpoint);
    return {
      open: async ({ hasDeadLetters } = { hasDeadLetters: true }) =>
        sqsQueue({
          queueUrl,
          ...(hasDeadLetters && { deadLetterUrl: `${queueUrl}-dead` }),
          longPollSeconds: 1,
          ...settings,
        }),
      async takeAway() {
        const client = new SQSClient(settings);
        await client.send(new PurgeQueueCommand({ QueueUrl: queueUrl }));
        client.destroy();
      },
    };
  });

  const OPTIONS = { concurrency: 8, visibilitySeconds: 2, maxReceives: 3 };
  const inputs = (operation: string) =>
    wire.calls.filter((call) => call.operation === operation).map(({ input }) => input);

  /** A queue whose calls go over the wire. */
  const overWire = async (maxReceiveCount?: number) => {
    const prefix = await makeQueues(moto.endpoint, `q${++queues}-`, maxReceiveCount);
    const queueUrl = `${prefix.replace(moto.endpoint, wire.url)}jobs`;
    const queue = sqsQueue({
      queueUrl,
      deadLetterUrl: `${queueUrl}-dead`,
      longPollSeconds: 1,
      ...clientOf(wire.url),
    });
    wire.calls.length = 0;
    opened.push(queue);
    return queue;
  };
  const opened: ReturnType<typeof sqsQueue>[] = [];
  afterEach(async () => {
    wire.heal();
    await Promise.all(opened.splice(0).map((queue) => queue.close()));
  });

  test("messages carry their group, also when they are parked and redriven, and few attributes besides", async () => {
    const queue = await overWire();
    await queue.send({ body: "a", group: "acme", delaySeconds: 1 });
    const { deliveries, handler } = recorder((_, nth) =>
      nth === 1 ? { park: "bad\u0000 é" } : { done: true },
    );
    queue.consume(OPTIONS, handler);
    await expect.poll(() => queue.deadLetters.list(1)).toMatchObject([{ reason: "bad? ?" }]);
    await queue.deadLetters.redrive();
    await expect.poll(() => deliveries).toHaveLength(2);
    const sent = inputs("SendMessage");
    expect(sent.map(({ MessageGroupId }) => MessageGroupId)).toEqual(["acme", "acme", "acme"]);
    expect(sent.map(({ DelaySeconds }) => DelaySeconds)).toEqual([1, undefined, undefined]);
    expect(Object.keys(sent[1]?.MessageAttributes ?? {})).toEqual(["reason", "parked-at"]);
  });

  test("an idle consumer has one poll under way, a busy one many", async () => {
    const queue = await overWire();
    const { deliveries, handler } = recorder(() => sleep(300, { done: true }));
    queue.consume(OPTIONS, handler);
    await sleep(3_500);
    expect(inputs("ReceiveMessage").length).toBeLessThanOrEqual(4);
    for (let count = 0; count < 40; count++) await queue.send({ body: `m${count}`, group: "acme" });
    const from = performance.now();
    await expect.poll(() => deliveries).toHaveLength(40);
    // One after the other they would take twelve seconds.
    expect(performance.now() - from).toBeLessThan(6_000);
  });

  test("polls go on after errors, without haste", async () => {
    const queue = await overWire();
    const { deliveries, handler } = recorder(() => ({ done: true }));
    wire.fail("SQS ReceiveMessage", "lose", 6);
    queue.consume(OPTIONS, handler);
    await queue.send({ body: "a", group: "acme" });
    await expect.poll(() => deliveries).toHaveLength(1);
    expect(inputs("ReceiveMessage").length).toBeLessThan(20);
  });

  test("a message that could not be deleted or parked comes again", async () => {
    const queue = await overWire();
    await queue.send({ body: "a", group: "acme" });
    const { deliveries, handler } = recorder((_, nth) => (nth === 1 ? { done: true } : { park: "bad" }));
    wire.fail("SQS DeleteMessage", { code: "InternalError", status: 500 }, 3);
    queue.consume({ ...OPTIONS, maxReceives: 10 }, handler);
    await expect.poll(() => deliveries).toHaveLength(1);
    await expect.poll(() => inputs("DeleteMessage").length).toBe(3);
    wire.fail("SQS SendMessage", { code: "InternalError", status: 500 }, 3);
    await expect.poll(() => queue.deadLetters.list(10)).toMatchObject([{ body: "a", reason: "bad" }]);
    expect(deliveries.map(({ receiveCount }) => receiveCount)).toEqual([1, 2, 3]);
  });

  test("a lease that cannot be extended is lost when it ends", async () => {
    const queue = await overWire();
    await queue.send({ body: "a", group: "acme" });
    const { deliveries, handler } = recorder(async ({ signal }) => {
      while (!signal.aborted) await sleep(20);
      return { done: true };
    });
    wire.fail("SQS ChangeMessageVisibility", { code: "InternalError", status: 500 }, 1_000);
    queue.consume(OPTIONS, handler);
    await expect.poll(() => deliveries).toHaveLength(1);
    await expect.poll(() => deliveries[0]?.signal.aborted).toBe(true);
    expect(performance.now() - (deliveries[0]?.at ?? 0)).toBeGreaterThan(1_500);
    expect(inputs("DeleteMessage")).toEqual([]);
  });

  test("one that SQS moved to the dead letters itself has a reason too", async () => {
    const queue = await overWire(1);
    await queue.send({ body: "a", group: "acme" });
    const { deliveries, handler } = recorder((_, nth) =>
      nth === 1 ? { retryAfterSeconds: 0 } : { done: true },
    );
    queue.consume({ ...OPTIONS, maxReceives: 10 }, handler);
    await expect
      .poll(() => queue.deadLetters.list(10))
      .toMatchObject([{ body: "a", reason: TOO_MANY_RECEIVES }]);
    expect(deliveries).toHaveLength(1);
  });

  test("a queue that refuses or does not exist is unavailable, and the error repeats nothing", async () => {
    const queue = await overWire();
    const gone = sqsQueue({
      queueUrl: `${wire.url}/1/gone`,
      deadLetterUrl: `${wire.url}/1/gone`,
      ...clientOf(wire.url),
    });
    opened.push(gone);
    wire.fail("SQS SendMessage", { code: "ThrottlingException" }, 3);
    for (const each of [queue, gone]) {
      const error = await each
        .send({ body: "a secret body", group: "acme" })
        .catch((reason: unknown) => reason as Error);
      expect(error).toBeInstanceOf(QueueUnavailableError);
      expect(`${error?.stack} ${(error?.cause as Error).stack}`).not.toContain("a secret body");
    }
    await expect(gone.deadLetters.list(1)).rejects.toThrow(QueueUnavailableError);
  });
});
