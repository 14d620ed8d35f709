import type { Service, Task } from "@aws-sdk/client-ecs";
import type { InstanceStatus } from "../../../shared/instance-spec.ts";
import { TASK_TAGS } from "./task-definition.ts";
import { endOf, isAlive } from "./tasks.ts";

/** Ends of tasks that may pass by themselves: a role that was just made is not known everywhere at once. */
const ENDS_FORGIVEN = 1;
/** Events in which ECS says what keeps it from doing what it should. */
const COMPLAINT = /unable|unhealthy|failed|error|not |circuit breaker/i;
const LONGEST = 600;

/** A definition's tags, as a map. */
export type Tags = Map<string, string>;

/** An instance's status out of what ECS says: its service, its tasks, and the tags of the service's definition. */
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

/** Whether the service has what it should, so that its tasks need not be looked at. */
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

/** The deployment that the service works on, and whether ECS has given it up. */
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

/** What ECS complains of: how the last task ended, or else its last event. */
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
