import type { Service, Task } from "@aws-sdk/client-ecs";
import { expect, test } from "vitest";
import {
  hasGivenUp,
  instanceStatus,
  isSteady,
  tagsOf,
} from "../../../../services/control-plane/runtime/ecs/status.ts";

const ORG = "oaaaaaaaaaaaaaaa";
const NOW = new Date("2026-11-24T12:00:00Z");
const TAGS = [
  { key: "strongroom:attempt", value: "2" },
  { key: "strongroom:restart", value: "3" },
  { key: "strongroom:reload", value: "1" },
];
const service = (change: Partial<Service> = {}): Service => ({
  desiredCount: 1,
  runningCount: 0,
  pendingCount: 0,
  deployments: [{ id: "ecs-svc/1", status: "PRIMARY", rolloutState: "IN_PROGRESS" }],
  events: [],
  ...change,
});
const task = (change: Partial<Task> = {}): Task => ({
  lastStatus: "RUNNING",
  desiredStatus: "RUNNING",
  startedBy: "ecs-svc/1",
  createdAt: new Date("2026-11-24T11:00:00Z"),
  tags: TAGS,
  ...change,
});
const ended = (change: Partial<Task> = {}): Task =>
  task({ lastStatus: "STOPPED", desiredStatus: "STOPPED", stoppedReason: "it failed", ...change });
const statusOf = (of: Service, tasks: Task[]) => instanceStatus(ORG, of, tasks, tagsOf({ tags: TAGS }), NOW);

test("what runs tells which attempt it is, and its counters, by its tags", () => {
  const old = task({ tags: [{ key: "strongroom:attempt", value: "1" }] });
  expect(statusOf(service(), [task()])).toMatchObject({
    state: "running",
    attempt: 2,
    restart: 3,
    reload: 1,
  });
  expect(statusOf(service(), [old])).toMatchObject({ state: "running", attempt: 1, restart: 0 });
});

test("a task on its way is starting; one that is on its way out runs until it has ended", () => {
  for (const lastStatus of ["PROVISIONING", "PENDING", "ACTIVATING"]) {
    expect(statusOf(service(), [task({ lastStatus })])).toMatchObject({ state: "starting" });
  }
  const none = service({ desiredCount: 0 });
  for (const lastStatus of ["DEACTIVATING", "STOPPING", "RUNNING"]) {
    expect(statusOf(none, [task({ lastStatus, desiredStatus: "STOPPED" })]).state).toBe("running");
  }
  expect(statusOf(none, [ended()])).toMatchObject({ state: "stopped" });
});

test("one failed start is forgiven, two are not, and both are told with the last event", () => {
  const unwell = service({ events: [{ message: "(service s) was unable to place a task" }] });
  expect(statusOf(unwell, [ended()])).toMatchObject({
    state: "starting",
    lastError: "it failed; (service s) was unable to place a task",
  });
  expect(statusOf(unwell, [ended(), ended()])).toMatchObject({ state: "backoff" });
  const elsewhere = ended({ startedBy: "ecs-svc/0" });
  expect(statusOf(unwell, [elsewhere, elsewhere])).toMatchObject({ state: "starting" });
});

test("the newest end is told, with exit code and the container's reason", () => {
  const later = new Date("2026-11-24T11:30:00Z");
  const containers = [{ exitCode: 1, reason: "OutOfMemoryError" }];
  const last = ended({ createdAt: later, stoppedReason: "Essential container in task exited", containers });
  expect(statusOf(service(), [ended(), last]).lastError).toBe(
    "Essential container in task exited (exit code 1): OutOfMemoryError",
  );
});

test("a deployment that ECS has given up is told as backing off at once", () => {
  const failed = service({ deployments: [{ id: "ecs-svc/1", status: "PRIMARY", rolloutState: "FAILED" }] });
  expect(hasGivenUp(failed)).toBe(true);
  expect(statusOf(failed, [])).toMatchObject({ state: "backoff" });
});

test("only a service that has exactly what it should is steady", () => {
  const steady = service({
    runningCount: 1,
    deployments: [{ status: "PRIMARY", rolloutState: "COMPLETED" }],
  });
  expect(isSteady(steady)).toBe(true);
  expect(isSteady({ ...steady, runningCount: 0 })).toBe(false);
  expect(isSteady({ ...steady, pendingCount: 1 })).toBe(false);
  expect(isSteady({ ...steady, desiredCount: 0, runningCount: 0 })).toBe(false);
  expect(isSteady({ ...steady, deployments: [] })).toBe(false);
});
