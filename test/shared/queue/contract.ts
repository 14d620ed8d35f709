import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { TOO_MANY_RECEIVES } from "../../../services/shared/queue/limits.ts";
import type {
  ConsumeOptions,
  DeadLetters,
  Delivery,
  Disposition,
  Handler,
  Queue,
} from "../../../services/shared/queue/queue.ts";

/** A new, empty queue. */
export interface QueueStage {
  /** A connection to it. */
  open(options?: { hasDeadLetters: boolean }): Promise<Queue & { deadLetters: DeadLetters }>;
  /** Takes the messages in hand away from those who have them. */
  takeAway(): Promise<void>;
}

const OPTIONS: ConsumeOptions = { concurrency: 4, visibilitySeconds: 2, maxReceives: 3 };
const DONE: Disposition = { done: true };
const eventually = { timeout: 15_000, interval: 20 };

/** A handler that remembers its deliveries, and does with the nth one what `dispose` says. */
export function recorder(dispose: (delivery: Delivery, nth: number) => Disposition | Promise<Disposition>) {
  const deliveries: (Delivery & { at: number })[] = [];
  const handler: Handler = async (delivery) => {
    deliveries.push({ ...delivery, at: performance.now() });
    return dispose(delivery, deliveries.length);
  };
  return { deliveries, handler };
}

/** What every queue does. */
export function queueContract(newQueue: () => Promise<QueueStage>): void {
  const using = async (
    run: (queue: Queue & { deadLetters: DeadLetters }, stage: QueueStage) => Promise<void>,
  ): Promise<void> => {
    const stage = await newQueue();
    const queue = await stage.open();
    try {
      await run(queue, stage);
    } finally {
      await queue.close();
    }
  };

  test("a message arrives as it was sent, and is gone when it is done", () =>
    using(async (queue) => {
      const body = JSON.stringify({ text: "é \u{1f511} <&>", more: "x".repeat(300_000) });
      await queue.send({ body, group: "acme" });
      const { deliveries, handler } = recorder(() => DONE);
      queue.consume(OPTIONS, handler);
      await expect.poll(() => deliveries, eventually).toHaveLength(1);
      expect(deliveries[0]).toMatchObject({ body, receiveCount: 1 });
      await sleep(3_000);
      expect(deliveries).toHaveLength(1);
    }));

  test("messages sent while a consumer waits arrive, each of them", () =>
    using(async (queue, { open }) => {
      const { deliveries, handler } = recorder(() => DONE);
      queue.consume(OPTIONS, handler);
      const sender = await open();
      const bodies = Array.from({ length: 30 }, (_, index) => `message ${index}`);
      await Promise.all(bodies.map((body, index) => sender.send({ body, group: `g${index % 4}` })));
      await expect.poll(() => new Set(deliveries.map(({ body }) => body)).size, eventually).toBe(30);
      await sender.close();
    }));

  test("a retry comes after its wait, with the next count", () =>
    using(async (queue) => {
      await queue.send({ body: "again", group: "acme" });
      const { deliveries, handler } = recorder((_, nth) => (nth === 1 ? { retryAfterSeconds: 1 } : DONE));
      queue.consume(OPTIONS, handler);
      await expect.poll(() => deliveries, eventually).toHaveLength(2);
      expect(deliveries.map(({ receiveCount }) => receiveCount)).toEqual([1, 2]);
      // Clocks of both sides have milliseconds at best.
      expect((deliveries[1]?.at ?? 0) - (deliveries[0]?.at ?? 0)).toBeGreaterThan(950);
    }));

  test("a handler that throws means a retry", () =>
    using(async (queue) => {
      await queue.send({ body: "again", group: "acme" });
      const { deliveries, handler } = recorder((_, nth) => {
        if (nth === 1) throw new Error("on purpose");
        return DONE;
      });
      queue.consume(OPTIONS, handler);
      await expect.poll(() => deliveries, eventually).toHaveLength(2);
    }));

  test("a delayed message comes after its delay", () =>
    using(async (queue) => {
      const { deliveries, handler } = recorder(() => DONE);
      queue.consume(OPTIONS, handler);
      const from = performance.now();
      await queue.send({ body: "later", group: "acme", delaySeconds: 1 });
      await expect.poll(() => deliveries, eventually).toHaveLength(1);
      expect((deliveries[0]?.at ?? 0) - from).toBeGreaterThan(950);
    }));

  test(
    "a parked message is a dead letter with its reason, and can be redriven, one or all",
    () =>
      using(async (queue) => {
        const { deliveries, handler } = recorder(({ body }, nth) =>
          nth > 3 ? DONE : { park: `bad ${body}` },
        );
        for (const body of ["a", "b", "c"]) await queue.send({ body, group: "acme" });
        queue.consume(OPTIONS, handler);
        const list = async () =>
          (await queue.deadLetters.list(100)).sort((a, b) => (a.body < b.body ? -1 : 1));
        await expect.poll(async () => (await list()).length, eventually).toBe(3);
        const letters = await list();
        expect(letters.map(({ body, reason }) => ({ body, reason }))).toEqual([
          { body: "a", reason: "bad a" },
          { body: "b", reason: "bad b" },
          { body: "c", reason: "bad c" },
        ]);
        for (const { at } of letters) expect(Math.abs(Date.now() - at)).toBeLessThan(60_000);
        expect(await queue.deadLetters.list(2)).toHaveLength(2);
        expect(deliveries).toHaveLength(3);

        expect(await queue.deadLetters.redrive("no such id")).toBe(0);
        expect(await queue.deadLetters.redrive(letters[1]?.id)).toBe(1);
        await expect.poll(() => deliveries, eventually).toHaveLength(4);
        expect(deliveries[3]).toMatchObject({ body: "b", receiveCount: 1 });
        await expect.poll(async () => (await list()).map(({ body }) => body), eventually).toEqual(["a", "c"]);
        expect(await queue.deadLetters.redrive()).toBe(2);
        await expect.poll(() => deliveries, eventually).toHaveLength(6);
        expect(await list()).toEqual([]);
      }),
    60_000,
  );

  test("a message that was delivered too often is a dead letter", () =>
    using(async (queue) => {
      const { deliveries, handler } = recorder(() => ({ retryAfterSeconds: 0 }));
      await queue.send({ body: "poison", group: "acme" });
      queue.consume({ ...OPTIONS, maxReceives: 2 }, handler);
      await expect.poll(() => queue.deadLetters.list(10), eventually).toHaveLength(1);
      expect(await queue.deadLetters.list(10)).toMatchObject([{ body: "poison", reason: TOO_MANY_RECEIVES }]);
      expect(deliveries).toHaveLength(2);
    }));

  test("a queue without dead letters deletes what would be one, and says which and why", () =>
    using(async (withThem, { open }) => {
      const queue = await open({ hasDeadLetters: false });
      try {
        const { deliveries, handler } = recorder(({ body }) =>
          body === "bad" ? { park: "malformed" } : { retryAfterSeconds: 0 },
        );
        const dropped: string[][] = [];
        const onDropped = (...message: [string, string]) => void dropped.push(message);
        queue.consume({ ...OPTIONS, maxReceives: 2, onDropped }, handler);
        await queue.send({ body: "bad", group: "acme" });
        await queue.send({ body: "poison", group: "acme" });
        await expect
          .poll(() => dropped.toSorted(), eventually)
          .toEqual([
            ["bad", "malformed"],
            ["poison", TOO_MANY_RECEIVES],
          ]);
        expect(deliveries).toHaveLength(3);
        expect(await queue.deadLetters.list(10)).toEqual([]);
        expect(await queue.deadLetters.redrive()).toBe(0);
        expect(await withThem.deadLetters.list(10)).toEqual([]);
      } finally {
        await queue.close();
      }
      const later = recorder(() => DONE);
      withThem.consume(OPTIONS, later.handler);
      await sleep(2_500);
      expect(later.deliveries).toEqual([]);
    }));

  test("heartbeats keep a message that takes longer than its visibility", () =>
    using(async (queue, { open }) => {
      const other = await open();
      const { deliveries, handler } = recorder(() => sleep(5_000, DONE));
      await queue.send({ body: "slow", group: "acme" });
      queue.consume(OPTIONS, handler);
      other.consume(OPTIONS, handler);
      await expect.poll(() => deliveries, eventually).toHaveLength(1);
      await sleep(7_500);
      expect(deliveries).toHaveLength(1);
      expect(deliveries[0]?.signal.aborted).toBe(false);
      await other.close();
    }));

  test("a lease that was lost aborts the delivery", () =>
    using(async (queue, { takeAway }) => {
      const { deliveries, handler } = recorder(async ({ signal }) => {
        while (!signal.aborted) await sleep(20);
        return DONE;
      });
      await queue.send({ body: "lost", group: "acme" });
      const consumption = queue.consume(OPTIONS, handler);
      await expect.poll(() => deliveries, eventually).toHaveLength(1);
      expect(deliveries[0]?.signal.aborted).toBe(false);
      await takeAway();
      await expect.poll(() => deliveries[0]?.signal.aborted, eventually).toBe(true);
      await consumption.stop(1_000);
    }));

  test("stop takes no more, waits for what is in hand, and hands back what does not end", () =>
    using(async (queue, { open }) => {
      let release = () => {};
      const { deliveries, handler } = recorder(({ body }) =>
        body === "ends" ? sleep(500, DONE) : new Promise((resolve) => (release = () => resolve(DONE))),
      );
      await queue.send({ body: "ends", group: "acme" });
      await queue.send({ body: "hangs", group: "acme" });
      const consumption = queue.consume({ ...OPTIONS, visibilitySeconds: 60 }, handler);
      await expect.poll(() => deliveries, eventually).toHaveLength(2);
      await Promise.all([consumption.stop(1_000), consumption.stop(1_000)]);
      const aborted = (text: string) => deliveries.find(({ body }) => body === text)?.signal.aborted;
      expect([aborted("ends"), aborted("hangs")]).toEqual([false, true]);
      await queue.send({ body: "after", group: "acme" });

      const other = await open();
      const later = recorder(() => DONE);
      other.consume(OPTIONS, later.handler);
      await expect
        .poll(() => later.deliveries.map(({ body }) => body).sort(), eventually)
        .toEqual(["after", "hangs"]);
      release();
      await other.close();
      expect(deliveries).toHaveLength(2);
    }));

  test("no more messages are in hand than allowed, in all and of a group", () =>
    using(async (queue) => {
      const inHand: string[] = [];
      const most = { all: 0, group: 0 };
      const { deliveries, handler } = recorder(async ({ body }) => {
        inHand.push(body);
        most.all = Math.max(most.all, inHand.length);
        most.group = Math.max(most.group, inHand.filter((each) => each === body).length);
        await sleep(50);
        inHand.splice(inHand.indexOf(body), 1);
        return DONE;
      });
      for (let count = 0; count < 24; count++) {
        const group = `g${count % 3}`;
        await queue.send({ body: group, group });
      }
      queue.consume({ ...OPTIONS, perGroup: 2 }, handler);
      await expect.poll(() => deliveries, eventually).toHaveLength(24);
      expect(most).toEqual({ all: 4, group: 2 });
    }));

  test("what SQS would refuse is refused", () =>
    using(async (queue) => {
      for (const wrong of [
        { body: "", group: "acme" },
        { body: "é".repeat(512 * 1024 + 1), group: "acme" },
        { body: "a\u0000", group: "acme" },
        { body: "a\uffff", group: "acme" },
        { body: "a\ud800", group: "acme" },
        { body: "a", group: "" },
        { body: "a", group: "two words" },
        { body: "a", group: "acme", delaySeconds: 901 },
        { body: "a", group: "acme", delaySeconds: -1 },
      ]) {
        await expect(queue.send(wrong)).rejects.toThrow(RangeError);
      }
      for (const wrong of [
        { concurrency: 0 },
        { maxReceives: 1.5 },
        { perGroup: 0 },
        { visibilitySeconds: 0 },
      ]) {
        expect(() => queue.consume({ ...OPTIONS, ...wrong }, async () => DONE)).toThrow(RangeError);
      }
    }));
}
