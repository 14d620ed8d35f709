import { beforeEach, describe, expect, test } from "vitest";
import { Scheduler, type ServiceWish } from "../../services/ecs-emulator/scheduler.ts";
import type { StopCode, Task, TaskDefinition } from "../../services/ecs-emulator/task.ts";

/** A task that does what the test says. */
class FakeTask {
  static count = 0;
  readonly id = `task-${++FakeTask.count}`;
  lastStatus = "PENDING";
  desiredStatus = "RUNNING";
  health = "UNKNOWN";
  stopCode: StopCode | undefined;
  stoppedReason = "";
  readonly definition: TaskDefinition;
  readonly startedBy: string;

  constructor(definition: TaskDefinition, startedBy: string) {
    this.definition = definition;
    this.startedBy = startedBy;
  }

  async stop(stopCode: StopCode, reason: string): Promise<void> {
    this.desiredStatus = "STOPPED";
    this.stopCode ??= stopCode;
    this.stoppedReason ||= reason;
  }

  run(health = "HEALTHY"): void {
    this.lastStatus = "RUNNING";
    this.health = health;
  }

  end(stopCode: StopCode = "EssentialContainerExited"): void {
    this.lastStatus = "STOPPED";
    this.desiredStatus = "STOPPED";
    this.stopCode ??= stopCode;
  }
}

const definition = (revision: number): TaskDefinition => ({
  arn: `arn:aws:ecs:r:a:task-definition/f:${revision}`,
  family: "f",
  containers: [{ healthCheck: { command: ["CMD", "true"] } }],
  tags: [],
});

let now: number;
let woken: number[];
let started: FakeTask[];
let scheduler: Scheduler;
let wish: ServiceWish;

beforeEach(() => {
  now = 0;
  woken = [];
  started = [];
  scheduler = new Scheduler({
    name: "s",
    start: (of, by) => {
      const task = new FakeTask(of, by);
      started.push(task);
      return task as unknown as Task;
    },
    wakeIn: (ms) => void woken.push(ms),
    now: () => now,
    backoff: { firstMs: 1_000, mostMs: 4_000 },
  });
  wish = {
    taskDefinition: definition(1),
    desiredCount: 1,
    minimumHealthy: 0,
    maximum: 100,
    circuitBreaker: true,
    forced: 0,
  };
});

const reconcile = (change: Partial<ServiceWish> = {}): FakeTask[] => {
  wish = { ...wish, ...change };
  scheduler.reconcile(wish);
  return started;
};

test("one task is started, and the deployment is complete when it is healthy", () => {
  const [task] = reconcile();
  expect(started).toHaveLength(1);
  task?.run("UNKNOWN");
  reconcile();
  expect(scheduler.deployment?.rolloutState).toBe("IN_PROGRESS");
  task?.run();
  reconcile();
  expect(scheduler.deployment?.rolloutState).toBe("COMPLETED");
  expect(scheduler.events[0]?.message).toBe("(service s) has reached a steady state.");
  expect(started).toHaveLength(1);
});

describe("a new definition", () => {
  test("with 0 and 100 percent: the old task is told to end first, and the new one does not wait for its end", () => {
    const [old] = reconcile();
    old?.run();
    reconcile();
    reconcile({ taskDefinition: definition(2) });
    expect(old?.desiredStatus).toBe("STOPPED");
    // As with ECS: that is why the control plane scales to none first.
    expect(started).toHaveLength(2);
    expect(old?.lastStatus).toBe("RUNNING");
  });

  test("with 100 and 200 percent: the old task goes when the new one is there", () => {
    const [old] = reconcile({ minimumHealthy: 100, maximum: 200 });
    old?.run();
    reconcile();
    reconcile({ taskDefinition: definition(2) });
    expect(started).toHaveLength(2);
    expect(old?.desiredStatus).toBe("RUNNING");
    started[1]?.run();
    reconcile();
    expect(old?.desiredStatus).toBe("STOPPED");
    expect(started[1]?.desiredStatus).toBe("RUNNING");
  });
});

test("scaled to none, every task is told to end, and none is started", () => {
  const [task] = reconcile();
  task?.run();
  reconcile({ desiredCount: 0 });
  expect(task?.desiredStatus).toBe("STOPPED");
  task?.end();
  reconcile();
  expect(started).toHaveLength(1);
});

test("a healthy task that ends is replaced at once; one that never got well ever more slowly", () => {
  reconcile();
  started[0]?.run();
  reconcile();
  started[0]?.end();
  reconcile();
  expect(started).toHaveLength(2);
  for (const wait of [1_000, 2_000, 4_000, 4_000]) {
    const count = started.length;
    started.at(-1)?.end("TaskFailedToStart");
    reconcile();
    expect(started).toHaveLength(count);
    expect(woken.at(-1)).toBe(wait);
    now += wait;
    reconcile();
    expect(started).toHaveLength(count + 1);
  }
});

test("an unhealthy task is replaced", () => {
  reconcile();
  started[0]?.run();
  reconcile();
  started[0]?.run("UNHEALTHY");
  reconcile();
  expect(started[0]).toMatchObject({
    desiredStatus: "STOPPED",
    stoppedReason: "Task failed container health checks",
  });
  expect(started).toHaveLength(2);
});

test("a deployment whose tasks fail three times is given up, until another is forced", () => {
  for (let n = 1; n <= 3; n++) {
    reconcile();
    expect(started).toHaveLength(n);
    started.at(-1)?.end("TaskFailedToStart");
    reconcile();
    now += 10_000;
  }
  expect(scheduler.deployment).toMatchObject({ rolloutState: "FAILED", failedTasks: 3 });
  reconcile();
  expect(started).toHaveLength(3);
  reconcile({ forced: 1 });
  expect(started).toHaveLength(4);
  expect(scheduler.deployment?.rolloutState).toBe("IN_PROGRESS");
});
