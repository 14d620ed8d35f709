import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { embeddedQueue } from "../../../services/shared/queue/embedded.ts";
import { TOO_MANY_RECEIVES } from "../../../services/shared/queue/limits.ts";
import { QueueUnavailableError } from "../../../services/shared/queue/queue.ts";
import { test as inFolder } from "../../harness/folder.ts";
import { queueContract, recorder } from "./contract.ts";
import { Consumers, type Noted } from "./embedded-processes.ts";

describe("the contract", () => {
  let folder: string;
  let queues = 0;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "strongroom-test-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  queueContract(async () => {
    const file = join(folder, `queue-${++queues}.sqlite`);
    return {
      open: (options) => embeddedQueue(file, options),
      async takeAway() {
        const database = new DatabaseSync(file, { timeout: 2_000 });
        database.exec("UPDATE messages SET receives = receives + 1, visible_at = 9e12");
        database.close();
      },
    };
  });
});

const OPTIONS = { concurrency: 4, visibilitySeconds: 30, maxReceives: 3 };
const TOP = fileURLToPath(new URL("../../..", import.meta.url));

const test = inFolder
  .extend("file", ({ folder }) => join(folder, "queue", "jobs.sqlite"))
  .extend("queue", async ({ file }, { onCleanup }) => {
    const queue = await embeddedQueue(file);
    onCleanup(() => queue.close());
    return queue;
  })
  .extend("consumers", async ({ file }, { onCleanup }) => {
    const consumers = new Consumers(file, 3);
    onCleanup(() => consumers.kill());
    return consumers;
  });

describe("groups", () => {
  test("a group with 500 messages does not hold up another group's single one", async ({ queue }) => {
    for (let count = 0; count < 500; count++) await queue.send({ body: "many", group: "noisy" });
    let afterwards = 0;
    let isSent = false;
    const { deliveries, handler } = recorder(async ({ body }, nth) => {
      if (nth === 20) {
        await queue.send({ body: "single", group: "quiet" });
        isSent = true;
      } else if (isSent && body === "many" && !deliveries.some((each) => each.body === "single"))
        afterwards++;
      await sleep(5);
      return { done: true };
    });
    queue.consume(OPTIONS, handler);
    await expect.poll(() => deliveries.some(({ body }) => body === "single")).toBe(true);
    expect(afterwards).toBeLessThanOrEqual(2 * OPTIONS.concurrency);
    expect(deliveries.length).toBeLessThan(100);
  });

  test("groups with backlogs share, however long each backlog is", async ({ queue }) => {
    for (const [group, count] of [
      ["a", 300],
      ["b", 100],
      ["c", 60],
    ] as const) {
      for (let sent = 0; sent < count; sent++) await queue.send({ body: group, group });
    }
    const { deliveries, handler } = recorder(() => ({ done: true }));
    queue.consume(OPTIONS, handler);
    await expect.poll(() => deliveries.length).toBe(460);
    const first = deliveries.slice(0, 150).map(({ body }) => body);
    for (const group of ["a", "b", "c"]) {
      expect(first.filter((each) => each === group).length).toBeGreaterThan(40);
    }
  });

  test("a group that was idle has saved up nothing", async ({ queue }) => {
    const send = async (body: string, times: number) => {
      for (let count = 0; count < times; count++) await queue.send({ body, group: body });
    };
    const { deliveries, handler } = recorder(async (_, nth) => {
      if (nth === 200) await send("idle", 50);
      return { done: true };
    });
    await send("busy", 250);
    queue.consume({ ...OPTIONS, concurrency: 1 }, handler);
    await expect.poll(() => deliveries.length).toBe(300);
    const next = deliveries.slice(200, 240).map(({ body }) => body);
    for (const group of ["busy", "idle"]) {
      expect(next.filter((each) => each === group).length).toBeGreaterThan(10);
    }
  });
});

test("files are for their owner alone, and nothing of a message that is done remains in them", async ({
  queue,
  file,
  onTestFinished,
}) => {
  const folder = dirname(file);
  const occurrences = async () => {
    const texts = (await readdir(folder)).map((each) => readFile(join(folder, each), "latin1"));
    return (await Promise.all(texts)).join("").split("a marked body").length - 1;
  };
  const other = await embeddedQueue(file);
  onTestFinished(() => other.close());
  await queue.send({ body: "a marked body".repeat(1000), group: "acme" });
  // Some are cut in two by the ends of pages.
  expect(await occurrences()).toBeGreaterThan(900);
  for (const each of await readdir(folder)) {
    expect((await stat(join(folder, each))).mode & 0o777).toBe(0o600);
  }
  expect((await stat(folder)).mode & 0o777).toBe(0o700);
  other.consume(OPTIONS, async () => ({ done: true }));
  await expect.poll(occurrences).toBe(0);
});

test("what ends its consumer each time is dropped too, undelivered, and nothing of it remains", async ({
  file,
  onTestFinished,
}) => {
  const queue = await embeddedQueue(file, { hasDeadLetters: false });
  onTestFinished(() => queue.close());
  await queue.send({ body: "a marked body", group: "acme" });
  const database = new DatabaseSync(file, { timeout: 2_000 });
  database.exec("UPDATE messages SET receives = 3");
  database.close();
  const { deliveries, handler } = recorder(() => ({ done: true }));
  const dropped: string[][] = [];
  queue.consume({ ...OPTIONS, onDropped: (...message) => void dropped.push(message) }, handler);
  await expect.poll(() => dropped).toEqual([["a marked body", TOO_MANY_RECEIVES]]);
  expect(deliveries).toEqual([]);
  const files = async () => {
    const names = await readdir(dirname(file));
    const texts = await Promise.all(names.map((name) => readFile(join(dirname(file), name), "latin1")));
    return texts.join("").includes("a marked body");
  };
  await expect.poll(files, { timeout: 10_000 }).toBe(false);
});

test("a delivery whose message was received again can neither delete, park nor delay it", async ({
  queue,
  file,
}) => {
  const database = new DatabaseSync(file, { timeout: 2_000 });
  const dispositions = {
    done: { done: true },
    park: { park: "bad" },
    wait: { retryAfterSeconds: 0 },
  } as const;
  let release = () => {};
  const released = new Promise<void>((resolve) => (release = resolve));
  const { deliveries, handler } = recorder(async ({ body }) => {
    await released;
    return dispositions[body as keyof typeof dispositions];
  });
  for (const body of Object.keys(dispositions)) await queue.send({ body, group: "acme" });
  // The next heartbeat is ten seconds away.
  const consumption = queue.consume(OPTIONS, handler);
  await expect.poll(() => deliveries).toHaveLength(3);
  database.exec("UPDATE messages SET receives = 2, visible_at = 9000000000000");
  release();
  await consumption.stop(5_000);
  expect(database.prepare("SELECT body, receives, visible_at FROM messages ORDER BY body").all()).toEqual(
    ["done", "park", "wait"].map((body) => ({ body, receives: 2, visible_at: 9000000000000 })),
  );
  expect(await queue.deadLetters.list(10)).toEqual([]);
  database.close();
});

test("a queue that is closed, or whose file is none, is unavailable", async ({ queue, folder }) => {
  await queue.close();
  await expect(queue.send({ body: "a", group: "acme" })).rejects.toThrow(QueueUnavailableError);
  await expect(embeddedQueue(folder)).rejects.toThrow(QueueUnavailableError);
});

describe("processes", () => {
  test("two of them never handle a message at once while leases hold", async ({ queue, consumers }) => {
    consumers.start();
    consumers.start();
    const names = Array.from({ length: 300 }, (_, index) => `m${index}`);
    for (const [index, name] of names.entries()) {
      // Two are in hand for longer than the visibility of three seconds.
      const ms = index % 150 === 7 ? 5_000 : index % 20;
      await queue.send({ body: `${name} ${ms}`, group: `g${index % 5}` });
    }
    await expect.poll(async () => (await consumers.named("end")).length).toBe(300);
    const begun = (await consumers.log()).filter(({ event }) => event === "begin");
    expect(begun.map(({ name }) => name).sort()).toEqual([...names].sort());
    expect(new Set(begun.map(({ pid }) => pid)).size).toBe(2);
  }, 60_000);

  test("a message of one that was killed comes again elsewhere when its lease ends", async ({
    queue,
    consumers,
  }) => {
    const first = consumers.start();
    await queue.send({ body: "job 60000", group: "acme" });
    await expect.poll(() => consumers.named("begin")).toEqual(["job"]);
    const second = consumers.start();
    await expect.poll(async () => (await consumers.named("ready")).length).toBe(2);
    const killed = Date.now();
    await consumers.kill(first);
    await expect.poll(() => consumers.named("begin")).toEqual(["job", "job"]);
    const [, again] = (await consumers.log()).filter(({ event }) => event === "begin");
    expect(again?.pid).toBe(second.pid);
    expect((again as Noted).at - killed).toBeLessThan(4_000);
  }, 60_000);

  test("of 5,000 messages none is lost, whichever consumers are killed", async ({
    queue,
    file,
    onTestFinished,
  }) => {
    const consumers = new Consumers(file, 1);
    onTestFinished(() => consumers.kill());
    const names = Array.from({ length: 5_000 }, (_, index) => `m${index}`);
    const sending = (async () => {
      for (let from = 0; from < names.length; from += 20) {
        const some = names.slice(from, from + 20);
        await Promise.all(
          some.map((name, index) => queue.send({ body: `${name} ${index}`, group: `g${index}` })),
        );
        await sleep(30);
      }
    })();
    const running = [consumers.start(), consumers.start()];
    let kills = 0;
    const isDone = async () => new Set(await consumers.named("end")).size === names.length;
    while (!(await isDone())) {
      await sleep(200 + 400 * Math.random());
      const [victim] = running.splice(Math.floor(Math.random() * running.length), 1);
      if (victim) await consumers.kill(victim);
      running.push(consumers.start());
      kills++;
    }
    await sending;
    expect(kills).toBeGreaterThan(5);
    expect(await queue.deadLetters.list(10)).toEqual([]);
    // All are handled, and all are deleted: what a killed consumer had in hand comes again and is done then.
    const database = new DatabaseSync(file, { timeout: 2_000 });
    const left = () => database.prepare("SELECT count(*) AS count FROM messages").get()?.count;
    await expect.poll(left).toBe(0);
    database.close();
  }, 120_000);

  test("a message arrives by notification, not by the next poll", async ({ queue, consumers }) => {
    consumers.start();
    await expect.poll(() => consumers.named("ready")).toHaveLength(1);
    const sent: number[] = [];
    for (let index = 0; index < 21; index++) {
      sent.push(performance.timeOrigin + performance.now());
      await queue.send({ body: `m${index}`, group: "acme" });
      await expect.poll(() => consumers.named("begin"), { interval: 5 }).toHaveLength(index + 1);
    }
    const begun = (await consumers.log()).filter(({ event }) => event === "begin");
    const latencies = begun.map(({ at }, index) => at - (sent[index] ?? 0)).sort((a, b) => a - b);
    // Polls would take 125 ms on average.
    expect(latencies[10]).toBeLessThan(50);
  });

  test("one that may open only the queue's folder can consume it", async ({ queue, file, consumers }) => {
    const folder = dirname(file);
    const allowed = [`--allow-fs-read=${TOP}`, `--allow-fs-read=${folder}`, `--allow-fs-write=${folder}`];
    consumers.start(["--permission", ...allowed]);
    await queue.send({ body: "job", group: "acme" });
    await expect.poll(() => consumers.named("end")).toEqual(["job"]);
    await queue.send({ body: "next", group: "acme" });
    await expect.poll(() => consumers.named("end")).toEqual(["job", "next"]);
  });
});
