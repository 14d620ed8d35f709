import { createServer, request as httpRequest, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { type Answer, type Body, createService, fault, idOf, updateService } from "./change-service.ts";
import type { EcsCluster } from "./cluster.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Task } from "./task.ts";

/** An ECS API: `http://…`, the AWS SDK's `AWS_ENDPOINT_URL_ECS`. */
export interface EcsEndpoint {
  url: string;
  close(): Promise<void>;
}

export interface EcsEndpointOptions {
  cluster: EcsCluster;
  clusterName: string;
  /** The emulator, which has services and definitions but no tasks. */
  upstream: string;
  listen: { host: string; port: number };
}

const TARGET = /^AmazonEC2ContainerServiceV20141113\.(\w+)$/;
const MAX_BODY = 1024 * 1024;
/** Maximum number of services that one call describes. */
const MOST_DESCRIBED = 10;

/**
 * The ECS API, with the parts that the emulator lacks: tasks, and the actual state of services. Forwards everything
 * else, and completes the response.
 */
export async function startEcsEndpoint(options: EcsEndpointOptions): Promise<EcsEndpoint> {
  const { listen } = options;
  const server = createServer((request, response) => {
    answer(options, request)
      .catch((error): Answer => fault(500, "ServerException", (error as Error).message))
      .then(({ status, body }) => {
        response.writeHead(status, { "content-type": "application/x-amz-json-1.1" });
        response.end(JSON.stringify(body));
      });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(listen.port, listen.host, resolve);
  });
  return {
    url: `http://${listen.host}:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function answer(options: EcsEndpointOptions, request: IncomingMessage): Promise<Answer> {
  const { cluster, clusterName } = options;
  const body = await bodyOf(request);
  const [, operation = ""] = TARGET.exec(String(request.headers["x-amz-target"])) ?? [];
  const input = (body.length > 0 ? JSON.parse(body.toString("utf8")) : {}) as Body;
  const pass = () => forward(options.upstream, request, body);
  const isOurs = input.cluster === undefined || String(input.cluster).split("/").at(-1) === clusterName;
  if (!isOurs) return pass();
  switch (operation) {
    case "ListTasks":
      return {
        status: 200,
        body: { taskArns: selected(cluster, input).map((task) => arnOf(clusterName, task)) },
      };
    case "DescribeTasks":
      return { status: 200, body: describeTasks(cluster, clusterName, input) };
    case "StopTask": {
      const task = cluster.tasks.find(({ id }) => id === idOf(input.task));
      if (!task) return fault(400, "InvalidParameterException", "The referenced task was not found.");
      void task.stop("UserInitiated", String(input.reason ?? "Task stopped by user"));
      return { status: 200, body: { task: describeTask(clusterName, task) } };
    }
    case "CreateService":
      return createService(cluster, input, pass);
    case "UpdateService":
      return updateService(cluster, input, pass);
    case "DeleteService": {
      const answered = await pass();
      cluster.wake();
      return answered;
    }
    case "DescribeServices":
      if ((input.services as unknown[]).length > MOST_DESCRIBED) {
        return fault(400, "InvalidParameterException", "Services cannot have more than 10 members.");
      }
      return completed(cluster, await pass());
    default:
      return pass();
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY) throw new Error("the request is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function selected(
  cluster: EcsCluster,
  { serviceName, family, startedBy, desiredStatus = "RUNNING" }: Body,
): Task[] {
  return cluster.tasks.filter(
    (task) =>
      task.desiredStatus === desiredStatus &&
      (serviceName === undefined || task.service === idOf(serviceName)) &&
      (family === undefined || task.definition.family === family) &&
      (startedBy === undefined || task.startedBy === startedBy),
  );
}

function describeTasks(cluster: EcsCluster, clusterName: string, { tasks = [], include = [] }: Body): Body {
  const wanted = (tasks as unknown[]).map(idOf);
  const found = cluster.tasks.filter(({ id }) => wanted.includes(id));
  const withTags = (include as string[]).includes("TAGS");
  return {
    tasks: found.map((task) => ({
      ...describeTask(clusterName, task),
      ...(withTags && { tags: task.definition.tags }),
    })),
    failures: wanted
      .filter((id) => !found.some((task) => task.id === id))
      .map((arn) => ({ arn, reason: "MISSING" })),
  };
}

function describeTask(clusterName: string, task: Task): Body {
  const taskArn = arnOf(clusterName, task);
  const { definition, lastStatus, health, exitCode } = task;
  const [container] = definition.containers;
  return {
    taskArn,
    clusterArn: taskArn.replace(/:task\/.*/, `:cluster/${clusterName}`),
    taskDefinitionArn: definition.arn,
    group: `service:${task.service}`,
    startedBy: task.startedBy,
    lastStatus,
    desiredStatus: task.desiredStatus,
    healthStatus: health,
    createdAt: seconds(task.createdAt),
    startedAt: seconds(task.startedAt),
    stoppedAt: seconds(task.stoppedAt),
    stopCode: task.stopCode,
    stoppedReason: task.stoppedReason,
    containers: [
      { name: container?.name, image: container?.image, lastStatus, healthStatus: health, exitCode },
    ],
    attachments: [
      {
        type: "ElasticNetworkInterface",
        status: lastStatus === "STOPPED" ? "DELETED" : "ATTACHED",
        details: [{ name: "privateIPv4Address", value: task.address }],
      },
    ],
  };
}

/** The emulator's response with the actual counts, deployments and events. */
function completed(cluster: EcsCluster, answered: Answer): Answer {
  const services = (answered.body.services as Body[] | undefined) ?? [];
  const complete = services.map((service) => {
    const name = idOf(service.serviceName);
    const scheduler = cluster.services.get(name);
    const { deploymentConfiguration, capacityProviderStrategy } = cluster.remembered.get(name) ?? {};
    if (!scheduler) {
      return { ...service, runningCount: 0, pendingCount: service.desiredCount, deployments: [] };
    }
    const isDraining = service.status === "INACTIVE" && scheduler.alive.length > 0;
    return {
      ...service,
      ...(isDraining && { status: "DRAINING" }),
      ...(deploymentConfiguration && { deploymentConfiguration }),
      ...(capacityProviderStrategy && { capacityProviderStrategy }),
      ...outcome(scheduler, service),
    };
  });
  return {
    ...answered,
    body: { ...answered.body, ...(answered.body.services ? { services: complete } : {}) },
  };
}

function outcome(
  { deployment, running, alive, events }: Scheduler,
  { taskDefinition, desiredCount }: Body,
): Body {
  const counts = { runningCount: running.length, pendingCount: alive.length - running.length };
  // A change that is not processed yet is a deployment in progress.
  const isNew = deployment?.taskDefinition.arn !== taskDefinition;
  const primary = deployment && {
    id: deployment.id,
    status: "PRIMARY",
    taskDefinition,
    desiredCount,
    ...counts,
    failedTasks: isNew ? 0 : deployment.failedTasks,
    rolloutState: isNew ? "IN_PROGRESS" : deployment.rolloutState,
    createdAt: seconds(deployment.createdAt),
  };
  return {
    ...counts,
    deployments: primary ? [primary] : [],
    events: events.map(({ id, createdAt, message }) => ({ id, createdAt: seconds(createdAt), message })),
  };
}

function forward(upstream: string, request: IncomingMessage, body: Buffer): Promise<Answer> {
  const { host: _, connection: __, "transfer-encoding": ___, ...headers } = request.headers;
  return new Promise((resolve, reject) => {
    httpRequest(upstream, { method: "POST", headers, agent: false }, (response) => {
      buffer(response)
        .then((bytes) => {
          const text = bytes.toString("utf8");
          resolve({ status: response.statusCode ?? 500, body: text === "" ? {} : JSON.parse(text) });
        })
        .catch(reject);
    })
      .once("error", reject)
      .end(body);
  });
}

const seconds = (date: Date | undefined) => date && date.getTime() / 1000;
const arnOf = (clusterName: string, { id, definition }: Task): string =>
  `${definition.arn.replace(/:task-definition\/.*/, "")}:task/${clusterName}/${id}`;
