import { randomUUID } from "node:crypto";
import {
  type CapacityProviderStrategyItem,
  DescribeServicesCommand,
  DescribeTaskDefinitionCommand,
  type ECSClient,
  ListServicesCommand,
} from "@aws-sdk/client-ecs";
import {
  DeregisterInstanceCommand,
  RegisterInstanceCommand,
  type ServiceDiscoveryClient,
} from "@aws-sdk/client-servicediscovery";
import { GetParameterCommand, type SSMClient } from "@aws-sdk/client-ssm";
import type { Logger } from "pino";
import { freeAddress } from "./address.ts";
import { Scheduler } from "./scheduler.ts";
import { Task, type TaskDefinition, type TaskSurroundings } from "./task.ts";

export interface EcsClusterOptions {
  cluster: string;
  /** Clients of the AWS APIs, or of an emulator that runs no tasks. */
  ecs: ECSClient;
  ssm: SSMClient;
  cloudMap: ServiceDiscoveryClient;
  /** The parent folder of the tasks' own folders. */
  folder: string;
  vaultBinary: string;
  logger: Logger;
  /** The environment that ECS itself adds to a container's definition. */
  environment: Record<string, string>;
  /** Images that can be pulled (default: all). */
  images?: string[];
  /** Number of machines over which tasks are spread in turn. */
  instances?: number;
  /** Interval of reading services if nothing notifies of a change. */
  pollMs?: number;
  /** Delays between starts of a failing task. */
  backoff?: { firstMs: number; mostMs: number };
}

/** Settings of a service that the emulator behind does not return. */
export interface Remembered {
  deploymentConfiguration?: {
    minimumHealthyPercent?: number;
    maximumPercent?: number;
    deploymentCircuitBreaker?: { enable?: boolean; rollback?: boolean };
  };
  capacityProviderStrategy?: CapacityProviderStrategyItem[];
  forced: number;
  /** The client token of its creation. */
  token?: unknown;
}

const VAULT_PORT = 8200;
const BATCH = 10;
/** ECS's own: its backoff for a failing service task ends at 27 minutes. */
const BACKOFF = { firstMs: 1_000, mostMs: 27 * 60_000 };

/** A cluster that is read through the ECS API and runs on this machine. */
export class EcsCluster {
  readonly #options: EcsClusterOptions & { pollMs: number; backoff: { firstMs: number; mostMs: number } };
  readonly services = new Map<string, Scheduler>();
  readonly remembered = new Map<string, Remembered>();
  /** Cloud Map services in which a service's tasks are registered. */
  readonly #registries = new Map<string, string>();
  readonly #definitions = new Map<string, TaskDefinition>();
  readonly #addresses = new Set<string>();
  readonly #around: TaskSurroundings;
  #placed = 0;
  #closing = false;
  #loop: Promise<void> = Promise.resolve();
  #wake: () => void = () => {};
  #isAwake = false;

  constructor(options: EcsClusterOptions) {
    this.#options = { pollMs: 1_000, backoff: BACKOFF, ...options };
    this.#around = {
      folder: options.folder,
      vaultBinary: options.vaultBinary,
      logger: options.logger,
      environment: options.environment,
      takeAddress: async () => {
        const address = await freeAddress(VAULT_PORT, this.#addresses);
        this.#addresses.add(address);
        return address;
      },
      giveAddressBack: (address) => void this.#addresses.delete(address),
      secret: (valueFrom) => this.#secret(valueFrom),
      pullImage: async (image) => {
        if (!options.images || options.images.includes(image)) return;
        throw new Error(
          `CannotPullContainerError: pull image manifest has been retried 1 time(s): ${image}: not found`,
        );
      },
      register: (task) => this.#register(task),
      deregister: (task) => this.#deregister(task),
    };
  }

  start(): void {
    this.#loop = this.#follow();
  }

  /** Kills every task at once, and resolves when all are gone. */
  async close(): Promise<void> {
    this.#closing = true;
    this.wake();
    await this.#loop;
    const left = this.tasks.filter(({ lastStatus }) => lastStatus !== "STOPPED");
    for (const task of left) task.kill("UserInitiated", "the cluster is closed");
    await Promise.all(left.map(({ ended }) => ended));
  }

  /** Triggers a read of the services now. */
  wake(): void {
    this.#isAwake = true;
    this.#wake();
  }

  get tasks(): Task[] {
    return [...this.services.values()].flatMap(({ tasks }) => tasks);
  }

  /** Kills a machine with all its tasks, as if it lost power. */
  loseInstance(instance: string): Task[] {
    const lost = this.tasks.filter((task) => task.instance === instance && task.lastStatus !== "STOPPED");
    for (const task of lost) task.kill("TerminationNotice", "Host EC2 instance terminated");
    return lost;
  }

  async #follow(): Promise<void> {
    let isFailing = false;
    while (!this.#closing) {
      this.#isAwake = false;
      try {
        await this.#pass();
        isFailing = false;
      } catch (error) {
        if (!isFailing) this.#options.logger.error({ err: error }, "cannot read the services");
        isFailing = true;
      }
      await this.#pause(this.#options.pollMs);
    }
  }

  async #pause(ms: number): Promise<void> {
    if (this.#isAwake || this.#closing) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = () => {};
  }

  async #pass(): Promise<void> {
    const { ecs, cluster } = this.#options;
    const arns: string[] = [];
    let nextToken: string | undefined;
    do {
      const page = await ecs.send(
        new ListServicesCommand({ cluster, maxResults: 100, ...(nextToken && { nextToken }) }),
      );
      arns.push(...(page.serviceArns ?? []));
      nextToken = page.nextToken;
    } while (nextToken);
    for (let i = 0; i < arns.length; i += BATCH) {
      const { services = [] } = await ecs.send(
        new DescribeServicesCommand({ cluster, services: arns.slice(i, i + BATCH) }),
      );
      for (const service of services) {
        const { serviceName = "", taskDefinition = "", serviceRegistries = [] } = service;
        const registry = serviceRegistries[0]?.registryArn?.split("/").at(-1);
        if (registry) this.#registries.set(serviceName, registry);
        const { deploymentConfiguration: rules, forced = 0 } = this.remembered.get(serviceName) ?? {};
        this.#scheduler(serviceName).reconcile({
          taskDefinition: await this.#definition(taskDefinition),
          desiredCount: service.status === "ACTIVE" ? (service.desiredCount ?? 0) : 0,
          minimumHealthy: rules?.minimumHealthyPercent ?? 100,
          maximum: rules?.maximumPercent ?? 200,
          circuitBreaker: rules?.deploymentCircuitBreaker?.enable ?? false,
          forced,
        });
      }
    }
  }

  #scheduler(name: string): Scheduler {
    const known = this.services.get(name);
    if (known) return known;
    const scheduler = new Scheduler({
      name,
      start: (definition, startedBy) => {
        const instance = `instance-${this.#placed++ % (this.#options.instances ?? 1)}`;
        const about = { definition, service: name, startedBy, instance };
        return new Task(about, this.#around, () => this.wake());
      },
      wakeIn: (ms) => void setTimeout(() => this.wake(), ms).unref(),
      now: () => performance.now(),
      backoff: this.#options.backoff,
    });
    this.services.set(name, scheduler);
    return scheduler;
  }

  async #definition(arn: string): Promise<TaskDefinition> {
    const known = this.#definitions.get(arn);
    if (known) return known;
    const { taskDefinition, tags = [] } = await this.#options.ecs.send(
      new DescribeTaskDefinitionCommand({ taskDefinition: arn, include: ["TAGS"] }),
    );
    const {
      taskDefinitionArn = arn,
      family = "",
      containerDefinitions: containers = [],
    } = taskDefinition ?? {};
    const definition = { arn: taskDefinitionArn, family, containers, tags };
    this.#definitions.set(arn, definition);
    return definition;
  }

  /** Reads secrets like ECS: at each start of a task, decrypted, by the name in the ARN. */
  async #secret(valueFrom: string): Promise<string> {
    const [, name] = /^arn:[^:]+:ssm:[^:]+:\d+:parameter(\/.+)$/.exec(valueFrom) ?? [];
    const failed = (why: string) =>
      new Error(
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval " +
          `failed: unable to retrieve secrets from ssm: ${why}`,
      );
    if (!name) throw failed(`invalid ssm parameters: ${valueFrom}`);
    try {
      const command = new GetParameterCommand({ Name: name, WithDecryption: true });
      const { Parameter } = await this.#options.ssm.send(command);
      if (Parameter?.Value === undefined) throw failed(`invalid ssm parameters: ${name}`);
      return Parameter.Value;
    } catch (error) {
      const { name: code, message } = error as Error;
      throw code === "ParameterNotFound"
        ? failed(`invalid ssm parameters: ${name}`)
        : failed(`${code}: ${message}`);
    }
  }

  async #register(task: Task): Promise<void> {
    const ServiceId = this.#registries.get(task.service);
    if (!ServiceId || !task.address) return;
    await this.#options.cloudMap.send(
      new RegisterInstanceCommand({
        ServiceId,
        InstanceId: task.id,
        CreatorRequestId: randomUUID(),
        Attributes: { AWS_INSTANCE_IPV4: task.address, AWS_INSTANCE_PORT: String(VAULT_PORT) },
      }),
    );
  }

  async #deregister(task: Task): Promise<void> {
    const ServiceId = this.#registries.get(task.service);
    if (!ServiceId || !task.startedAt) return;
    const command = new DeregisterInstanceCommand({ ServiceId, InstanceId: task.id });
    await this.#options.cloudMap.send(command).catch((error: Error) => {
      if (error.name !== "InstanceNotFound" && error.name !== "ServiceNotFound") throw error;
    });
  }
}
