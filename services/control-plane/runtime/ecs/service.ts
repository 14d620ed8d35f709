import { randomUUID } from "node:crypto";
import {
  CreateServiceCommand,
  DeleteServiceCommand,
  DeleteTaskDefinitionsCommand,
  DeregisterTaskDefinitionCommand,
  DescribeTaskDefinitionCommand,
  ListServicesCommand,
  ListTaskDefinitionsCommand,
  RegisterTaskDefinitionCommand,
  type RegisterTaskDefinitionCommandInput,
  type Service,
  UpdateServiceCommand,
  type UpdateServiceCommandInput,
} from "@aws-sdk/client-ecs";
import { hasAwsCode } from "../../../shared/aws/aws-error.ts";
import { ORG_TAG, orgNames } from "../../../shared/aws/names.ts";
import { StrongroomError } from "../../../shared/errors.ts";
import { poll } from "../../../shared/poll.ts";
import { type Aws, call } from "./clients.ts";
import { type Tags, tagsOf } from "./status.ts";
import { STOPPED_WITHIN_SECONDS, TASK_TAGS } from "./task-definition.ts";
import { endOf, isAlive, tasksOf } from "./tasks.ts";

const POLL_MS = 500;
/** Maximum number of definitions per DeleteTaskDefinitions. */
const DELETED_TOGETHER = 10;
const MAX_PAGES = 100;

/** The description of an organization's service; undefined if there is none, or no longer. */
export function describeService({ services }: Aws, org: string): Promise<Service | undefined> {
  return services.read(orgNames(org).service);
}

/** The number of services in the cell; each runs one task. */
export async function countServices({ ecs, cell }: Aws): Promise<number> {
  let count = 0;
  let nextToken: string | undefined;
  for (let page = 0; page < MAX_PAGES; page++) {
    const answer = await call(
      "ECS ListServices",
      ecs.send(
        new ListServicesCommand({
          cluster: cell.cluster,
          maxResults: 100,
          ...(nextToken && { nextToken }),
        }),
      ),
    );
    count += answer.serviceArns?.length ?? 0;
    nextToken = answer.nextToken;
    if (!nextToken) break;
  }
  return count;
}

/** A definition's ARN and tags; undefined if there is none of that name. */
export async function describeDefinition(
  { ecs }: Aws,
  taskDefinition: string,
): Promise<{ arn: string; tags: Tags } | undefined> {
  try {
    const answer = await call(
      `ECS DescribeTaskDefinition ${taskDefinition}`,
      ecs.send(new DescribeTaskDefinitionCommand({ taskDefinition, include: ["TAGS"] })),
    );
    return {
      arn: answer.taskDefinition?.taskDefinitionArn ?? taskDefinition,
      tags: tagsOf({ tags: answer.tags }),
    };
  } catch (error) {
    // The error for a family without an active definition.
    if (hasAwsCode(error, "ClientException")) return undefined;
    throw error;
  }
}

/** The family's latest definition if it has this content, otherwise a new one. */
export async function ensureDefinition(aws: Aws, input: RegisterTaskDefinitionCommandInput): Promise<string> {
  const family = input.family ?? "";
  const latest = await describeDefinition(aws, family);
  const digest = tagsOf(input).get(TASK_TAGS.digest);
  if (latest && latest.tags.get(TASK_TAGS.digest) === digest) return latest.arn;
  const { taskDefinition } = await call(
    `ECS RegisterTaskDefinition ${family}`,
    aws.ecs.send(new RegisterTaskDefinitionCommand(input)),
  );
  return taskDefinition?.taskDefinitionArn ?? family;
}

/** Creates the service of an organization that has none. */
export async function createService(
  { ecs, cell }: Aws,
  org: string,
  taskDefinition: string,
  registryArn: string,
): Promise<void> {
  const { service: serviceName } = orgNames(org);
  await call(
    `ECS CreateService ${serviceName}`,
    ecs.send(
      new CreateServiceCommand({
        cluster: cell.cluster,
        serviceName,
        taskDefinition,
        desiredCount: 1,
        ...capacity(cell),
        // One task at a time: the lock in the storage elects an active server but does not fence off another one.
        deploymentConfiguration: {
          minimumHealthyPercent: 0,
          maximumPercent: 100,
          deploymentCircuitBreaker: { enable: true, rollback: false },
        },
        availabilityZoneRebalancing: "DISABLED",
        propagateTags: "TASK_DEFINITION",
        enableECSManagedTags: true,
        enableExecuteCommand: false,
        networkConfiguration: {
          awsvpcConfiguration: {
            subnets: cell.subnets,
            securityGroups: cell.securityGroups,
            assignPublicIp: "DISABLED",
          },
        },
        serviceRegistries: [{ registryArn }],
        // Shared by the retries of this call; a service created again later has another token.
        clientToken: randomUUID(),
        tags: [{ key: ORG_TAG, value: org }],
      }),
    ),
  );
}

export async function updateService(
  { ecs, cell }: Aws,
  org: string,
  changes: Omit<UpdateServiceCommandInput, "cluster" | "service">,
): Promise<void> {
  const { service } = orgNames(org);
  await call(
    `ECS UpdateService ${service}`,
    ecs.send(new UpdateServiceCommand({ cluster: cell.cluster, service, ...changes })),
  );
}

/** Waits until ECS confirms that all tasks of a service with a desired count of 0 have ended. */
export async function waitUntilStopped(aws: Aws, org: string): Promise<void> {
  let tasks: string[] = [];
  const haveStopped = async () => {
    const service = await describeService(aws, org);
    const alive = (await tasksOf(aws, org)).filter(isAlive);
    tasks = alive.map((task) => `${task.taskArn?.split("/").at(-1)} is ${task.lastStatus}`);
    // A starting task may be counted before it is listed.
    const counted = (service?.runningCount ?? 0) + (service?.pendingCount ?? 0);
    return (alive.length === 0 && counted === 0) || undefined;
  };
  if (!(await poll(haveStopped, { everyMs: POLL_MS, withinMs: STOPPED_WITHIN_SECONDS * 1000 }))) {
    throw new StrongroomError(
      "step_timeout",
      `ECS has not confirmed that the organization's task has ended: ${tasks.join()}`,
    );
  }
}

/** Deletes the service, whose tasks have ended, and waits until ECS would accept a new one of its name. */
export async function deleteService(aws: Aws, org: string): Promise<void> {
  const { service } = orgNames(org);
  try {
    await call(
      `ECS DeleteService ${service}`,
      aws.ecs.send(new DeleteServiceCommand({ cluster: aws.cell.cluster, service })),
    );
  } catch (error) {
    if (!hasAwsCode(error, "ServiceNotFoundException", "ServiceNotActiveException")) throw error;
  }
  const isGone = async () => !(await describeService(aws, org)) || undefined;
  if (!(await poll(isGone, { everyMs: POLL_MS, withinMs: STOPPED_WITHIN_SECONDS * 1000 }))) {
    const [task] = (await tasksOf(aws, org)).map(endOf);
    throw new StrongroomError(
      "step_timeout",
      `ECS is still draining ${service}: ${task ?? "it has no tasks"}`,
    );
  }
}

/** Deregisters and deletes the family's definitions except the given one. */
export async function deleteDefinitions({ ecs }: Aws, org: string, except?: string): Promise<void> {
  const { service: family } = orgNames(org);
  const arns: string[] = [];
  let nextToken: string | undefined;
  for (let page = 0; page < MAX_PAGES; page++) {
    const answer = await call(
      `ECS ListTaskDefinitions ${family}`,
      ecs.send(new ListTaskDefinitionsCommand({ familyPrefix: family, ...(nextToken && { nextToken }) })),
    );
    arns.push(...(answer.taskDefinitionArns ?? []));
    nextToken = answer.nextToken;
    if (!nextToken) break;
  }
  const old = arns.filter((arn) => arn !== except);
  for (const taskDefinition of old) {
    await call(
      `ECS DeregisterTaskDefinition ${taskDefinition}`,
      ecs.send(new DeregisterTaskDefinitionCommand({ taskDefinition })),
    );
  }
  for (let i = 0; i < old.length; i += DELETED_TOGETHER) {
    const taskDefinitions = old.slice(i, i + DELETED_TOGETHER);
    await call(
      `ECS DeleteTaskDefinitions ${family}`,
      ecs.send(new DeleteTaskDefinitionsCommand({ taskDefinitions })),
    );
  }
}

/** The changes that move tasks to the desired capacity; ECS changes the strategy only with a forced deployment. */
export function changedCapacity(
  cell: Aws["cell"],
  { capacityProviderStrategy: current = [] }: Service,
  onDemand = false,
): Pick<UpdateServiceCommandInput, "capacityProviderStrategy" | "forceNewDeployment"> {
  const { capacityProviderStrategy: wanted } = capacity(cell, onDemand);
  const [one, another] = current;
  const isSame = !another && one?.capacityProvider === wanted?.[0]?.capacityProvider;
  return !wanted || isSame ? {} : { capacityProviderStrategy: wanted, forceNewDeployment: true };
}

/** The capacity for tasks. */
function capacity(
  { launchType, spot }: Aws["cell"],
  onDemand = false,
): Pick<UpdateServiceCommandInput, "capacityProviderStrategy"> & { launchType?: "EC2" } {
  if (launchType === "EC2") return { launchType };
  const capacityProvider = spot && !onDemand ? "FARGATE_SPOT" : "FARGATE";
  return { capacityProviderStrategy: [{ capacityProvider, weight: 1 }] };
}
