import type { Service, Task } from "@aws-sdk/client-ecs";
import type { InstanceStatus } from "../../../shared/instance-spec.ts";
import { TASK_TAGS } from "./task-definition.ts";
import { endOf, isAlive } from "./tasks.ts";

/** Tolerated failures of tasks: a new role is only eventually consistent. */
const ENDS_FORGIVEN = 1;
/** Matches events in which ECS reports a problem. */
const COMPLAINT = /unable|unhealthy|failed|error|not |circuit breaker/i;
const LONGEST = 600;

/** A definition's tags, as a map. */
export type Tags = Map<string, string>;

/** An instance's status, from its ECS service, its tasks, and the tags of the service's definition. */
export function instanceStatus(
  org: string,
  service: Service,
  tasks: Task[],
  definition: Tags,
  now: Date,
): InstanceStatus {
  const newest = tasks.toSorted((a, b) => time(b) - time(a));
  const alive = newest.find((task) => isAlive(task));
  const ended = newest.filter((task) => !isAlive(task));
  const tags = alive ? tagsOf(alive) : definition;
  const state = stateOf(service, alive, ended);
  const error = state === "running" ? undefined : complaint(service, ended);
  return {
    org,
    attempt: numberOf(tags, TASK_TAGS.attempt),
    state,
    ...(state === "running" && alive?.startedAt && { startedAt: alive.startedAt.toISOString() }),
    starts: newest.length,
    restart: numberOf(tags, TASK_TAGS.restart),
    reload: numberOf(tags, TASK_TAGS.reload),
    ...(error && state !== "stopped" && { lastError: error.slice(0, LONGEST) }),
    lowDisk: false,
    updatedAt: now.toISOString(),
  };
}

/** Whether the service is in its desired state, so that its tasks need not be read. */
export function isSteady({ deployments = [], desiredCount, runningCount, pendingCount }: Service): boolean {
  const [deployment] = deployments;
  return (
    deployments.length === 1 &&
    deployment?.rolloutState === "COMPLETED" &&
    desiredCount === 1 &&
    runningCount === 1 &&
    pendingCount === 0
  );
}

/** Whether ECS has given up the service's primary deployment. */
export const hasGivenUp = ({ deployments = [] }: Service): boolean =>
  deployments.find(({ status }) => status === "PRIMARY")?.rolloutState === "FAILED";

function stateOf(service: Service, alive: Task | undefined, ended: Task[]): InstanceStatus["state"] {
  if (alive?.lastStatus === "RUNNING" && alive.desiredStatus === "RUNNING") return "running";
  if (service.desiredCount === 0) return alive ? "running" : "stopped";
  if (hasGivenUp(service)) return "backoff";
  const primary = service.deployments?.find(({ status }) => status === "PRIMARY");
  const failed = ended.filter(({ startedBy }) => startedBy === primary?.id).length;
  return failed > ENDS_FORGIVEN && !alive ? "backoff" : "starting";
}

/** ECS's problem with the service: the end of its last task, and its last event with a problem. */
function complaint({ events = [] }: Service, ended: Task[]): string | undefined {
  const event = events.find(({ message }) => COMPLAINT.test(message ?? ""))?.message;
  const end = ended[0] && endOf(ended[0]);
  return [end, event].filter(Boolean).join("; ") || undefined;
}

export const tagsOf = ({ tags = [] }: Pick<Task, "tags">): Tags =>
  new Map(tags.map(({ key = "", value = "" }) => [key, value]));

const numberOf = (tags: Tags, key: string): number => Number(tags.get(key) ?? 0);

const time = ({ createdAt, stoppedAt, startedAt }: Task): number =>
  (createdAt ?? startedAt ?? stoppedAt ?? new Date(0)).getTime();
