import { DescribeTasksCommand, ListTasksCommand, type Task } from "@aws-sdk/client-ecs";
import { hasAwsCode } from "../../../shared/aws/aws-error.ts";
import { orgNames } from "../../../shared/aws/names.ts";
import { type Aws, call } from "./clients.ts";

/** One page of running and one of stopped tasks suffices: an organization has one or two tasks. */
const PAGE = 50;

/** The tasks of an organization's service that ECS still lists, including ended ones. */
export async function tasksOf({ ecs, cell }: Aws, org: string): Promise<Task[]> {
  const { cluster } = cell;
  const { service: serviceName } = orgNames(org);
  const lists = (["RUNNING", "STOPPED"] as const).map((desiredStatus) =>
    call(
      `ECS ListTasks ${serviceName}`,
      ecs.send(new ListTasksCommand({ cluster, serviceName, desiredStatus, maxResults: PAGE })),
    ).catch((error) => {
      if (hasAwsCode(error, "ServiceNotFoundException")) return { taskArns: [] };
      throw error;
    }),
  );
  const tasks = (await Promise.all(lists)).flatMap(({ taskArns = [] }) => taskArns);
  if (tasks.length === 0) return [];
  const described = await call(
    `ECS DescribeTasks ${serviceName}`,
    ecs.send(new DescribeTasksCommand({ cluster, tasks, include: ["TAGS"] })),
  );
  return described.tasks ?? [];
}

/** Whether a task's containers may still run: a DEPROVISIONING task has none any more. */
export const isAlive = ({ lastStatus }: Task): boolean =>
  lastStatus !== "STOPPED" && lastStatus !== "DEPROVISIONING" && lastStatus !== "DELETED";

/** The reason that AWS reports for a task's end. */
export function endOf({ stoppedReason, containers = [] }: Task): string {
  const [container] = containers;
  const exit = container?.exitCode === undefined ? "" : ` (exit code ${container.exitCode})`;
  const reason = container?.reason ? `: ${container.reason}` : "";
  return `${stoppedReason ?? "no reason was reported"}${exit}${reason}`;
}
