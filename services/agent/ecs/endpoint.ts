import { createServer, request as httpRequest, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import type { EcsCluster, Remembered } from "./cluster.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Task } from "./task.ts";

/** An ECS API: `http://…`, to be given to the AWS SDK as `AWS_ENDPOINT_URL_ECS`. */
export interface EcsEndpoint {
  url: string;
  close(): Promise<void>;
}

export interface EcsEndpointOptions {
  cluster: EcsCluster;
  clusterName: string;
  /** The emulator that knows services and definitions, and no tasks. */
  upstream: string;
  listen: { host: string; port: number };
}

type Body = Record<string, unknown>;
interface Answer {
  status: number;
  body: Body;
}

const TARGET = /^AmazonEC2ContainerServiceV20141113\.(\w+)$/;
const MAX_BODY = 1024 * 1024;

/**
 * The ECS API with what an emulator leaves out: tasks, and what has come of a service. Everything else is
 * passed on and its answer completed.
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
    case "UpdateService": {
      const name = nameOf(input.service);
      const answered = await pass();
      if (answered.status === 200) {
        const forced =
          (cluster.remembered.get(name)?.forced ?? 0) + (input.forceNewDeployment === true ? 1 : 0);
        cluster.remembered.set(name, { ...cluster.remembered.get(name), ...ruled(input), forced });
        cluster.wake();
      }
      return answered;
    }
    case "DeleteService": {
      const answered = await pass();
      cluster.wake();
      return answered;
    }
    case "DescribeServices":
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

/** ECS gives the same service again for the same client token, and refuses another of a name that lives. */
async function createService(cluster: EcsCluster, input: Body, pass: () => Promise<Answer>): Promise<Answer> {
  const name = nameOf(input.serviceName);
  const known = cluster.services.get(name);
  if (known?.wish?.desiredCount && cluster.remembered.get(name)?.token !== input.clientToken) {
    return fault(400, "InvalidParameterException", "Creation of service was not idempotent.");
  }
  if (known?.alive.length && !known.wish?.desiredCount) {
    const message = "Unable to Start a service that is still Draining.";
    return fault(400, "InvalidParameterException", message);
  }
  const answered = await pass();
  if (answered.status === 200) {
    cluster.remembered.set(name, { ...ruled(input), forced: 0, token: input.clientToken });
    cluster.wake();
  }
  return answered;
}

const ruled = ({ deploymentConfiguration }: Body): Partial<Remembered> =>
  deploymentConfiguration ? { deploymentConfiguration } : {};

function selected(
  cluster: EcsCluster,
  { serviceName, family, startedBy, desiredStatus = "RUNNING" }: Body,
): Task[] {
  return cluster.tasks.filter(
    (task) =>
      task.desiredStatus === desiredStatus &&
      (serviceName === undefined || task.service === nameOf(serviceName)) &&
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

/** The emulator's answer with the counts, deployments and events that are true. */
function completed(cluster: EcsCluster, answered: Answer): Answer {
  const services = (answered.body.services as Body[] | undefined) ?? [];
  const complete = services.map((service) => {
    const name = nameOf(service.serviceName);
    const scheduler = cluster.services.get(name);
    const { deploymentConfiguration } = cluster.remembered.get(name) ?? {};
    if (!scheduler) {
      return { ...service, runningCount: 0, pendingCount: service.desiredCount, deployments: [] };
    }
    const isDraining = service.status === "INACTIVE" && scheduler.alive.length > 0;
    return {
      ...service,
      ...(isDraining && { status: "DRAINING" }),
      ...(deploymentConfiguration && { deploymentConfiguration }),
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
  // A change that was made and not yet looked at is a deployment that has only begun.
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

const fault = (status: number, code: string, message: string): Answer => ({
  status,
  body: { __type: code, message },
});

const seconds = (date: Date | undefined) => date && date.getTime() / 1000;
const idOf = (arn: unknown): string => String(arn).split("/").at(-1) ?? "";
const nameOf = idOf;
const arnOf = (clusterName: string, { id, definition }: Task): string =>
  `${definition.arn.replace(/:task-definition\/.*/, "")}:task/${clusterName}/${id}`;
