import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Writable } from "node:stream";
import { text } from "node:stream/consumers";
import type { ContainerDefinition } from "@aws-sdk/client-ecs";
import {
  CreatePrivateDnsNamespaceCommand,
  CreateServiceCommand,
  ListNamespacesCommand,
  RegisterInstanceCommand,
  ServiceDiscoveryClient,
} from "@aws-sdk/client-servicediscovery";
import { GetParameterCommand, PutParameterCommand, SSMClient } from "@aws-sdk/client-ssm";
import { freeAddress } from "../../services/agent/ecs/address.ts";
import { Task } from "../../services/agent/ecs/task.ts";
import { createLogger } from "../../services/shared/log.ts";
import { awsEnvironment, clientOf } from "../harness/aws/cell.ts";
import type { Moto } from "../harness/aws/install-moto.ts";
import { type MotoServer, startMoto } from "../harness/aws/moto.ts";
import type { Deployment } from "./deployment.ts";
import { makeInternalVaultStorage } from "./internal-vault-storage.ts";
import { synthesize } from "./synthesized.ts";

const CHECKOUT = resolve(import.meta.dirname, "../..");
/** What infra/Dockerfile puts into the services' image, below its working folder. */
const IN_IMAGE = ["services", "vault-policies", "node_modules", "package.json"];
const VAULT_PORT = 8200;
const EXEC_MS = 45_000;

/** Names of the platform's own tasks. */
export type PlatformTask = "internal-vault" | "control-plane" | "gateway" | "operator";

interface Running {
  task: Task;
  environment: Record<string, string>;
}

/**
 * The platform's own tasks as the synthesized template has them: entry point, command, environment, secrets and
 * health check as they are, over TLS, by the rules by which ECS starts tasks and judges their health.
 *
 * A task is a process here and no container. So what its definition says of a network and files of its own is
 * said of this machine: `127.0.0.1`, `0.0.0.0` and the private address become a loopback address of the task's
 * own, `/dev/shm` a folder of its own, and AWS an emulator. What is not run is what only a container has: its
 * user, its read-only root, its limits, the image's own files. Go programs ask no resolver of ours, so the
 * names of Cloud Map are known to the services alone; Vault's command line is given the address and the name,
 * or a proxy that knows them.
 */
export class PlatformTasks {
  readonly deployment: Deployment;
  readonly moto: MotoServer;
  readonly #folder: string;
  readonly #vaultBinary: string;
  readonly #ssm: SSMClient;
  readonly #cloudMap: ServiceDiscoveryClient;
  readonly #names = new Map<string, string>();
  readonly #running: Running[] = [];
  readonly #addresses = new Set<string>();
  #vaultConfig: object = {};
  readonly #lines = new Writable({
    write: (chunk, _, done) => {
      this.log += chunk;
      done();
    },
  });
  /** Why tasks have ended. */
  log = "";
  namespaces: string[] = [];

  private constructor(moto: MotoServer, folder: string, vaultBinary: string) {
    this.deployment = synthesize().deployment;
    this.moto = moto;
    this.#folder = folder;
    this.#vaultBinary = vaultBinary;
    this.#ssm = new SSMClient(clientOf(moto.endpoint));
    this.#cloudMap = new ServiceDiscoveryClient(clientOf(moto.endpoint));
  }

  static async open({ emulator, vaultBinary }: { emulator: Moto; vaultBinary: string }) {
    const moto = await startMoto(emulator);
    const folder = await mkdtemp(join(tmpdir(), "strongroom-tasks-"));
    const tasks = new PlatformTasks(moto, folder, vaultBinary);
    try {
      tasks.#vaultConfig = await makeInternalVaultStorage(moto.endpoint, tasks.deployment);
      await tasks.#makeNames();
      return tasks;
    } catch (error) {
      await tasks.close();
      throw error;
    }
  }

  /** `host` of one of the platform's services, as the others know it. */
  hostOf(name: PlatformTask): string {
    const namespace = this.namespaces.find((each) => this.#names.has(`${name}.${each}`));
    return `${name}.${namespace}`;
  }

  /** Puts what the platform finds in the parameter store. */
  async publish(name: string, Value: string, Type: "String" | "SecureString" = "String"): Promise<void> {
    await this.#ssm.send(
      new PutParameterCommand({ Name: `/strongroom/platform/${name}`, Value, Type, Overwrite: true }),
    );
  }

  /** Starts a task by its definition. */
  start(name: PlatformTask): Task {
    const { properties } = this.#definitionOf(name);
    const [container] = properties.ContainerDefinitions;
    const environment = this.#environment();
    const running: { task?: Task; environment: Record<string, string> } = { environment };
    const definition = {
      arn: `arn:aws:ecs:eu-central-1:123456789012:task-definition/${properties.Family}:1`,
      family: properties.Family,
      containers: [inCamelCase(container) as ContainerDefinition],
      tags: [],
    };
    const task = new Task(
      { definition, service: name, startedBy: "ecs-svc/1", instance: "instance-0" },
      {
        folder: this.#folder,
        vaultBinary: this.#vaultBinary,
        logger: createLogger("agent", "info", this.#lines),
        environment,
        takeAddress: async () => {
          const address = await freeAddress(VAULT_PORT, this.#addresses);
          this.#addresses.add(address);
          return address;
        },
        giveAddressBack: (address) => void this.#addresses.delete(address),
        secret: (valueFrom) => this.#parameter(valueFrom.replace(/^.*:parameter/, "")),
        localize: async (given, place) => {
          const here = await this.#localize(name, given, place);
          for (const { name: key = "", value = "" } of here.environment ?? []) environment[key] = value;
          return here;
        },
        pullImage: async () => {},
        register: (started) => this.#register(name, started),
        deregister: async () => {},
      },
      () => {},
    );
    running.task = task;
    this.#running.push(running as Running);
    return task;
  }

  /** All tasks of one kind that have not ended. */
  all(name: PlatformTask): Task[] {
    return this.#running
      .map(({ task }) => task)
      .filter(({ service, lastStatus }) => service === name && lastStatus !== "STOPPED");
  }

  /** Runs a program in a task, with what its container has in its environment, as ECS Exec does. */
  async exec(
    task: Task,
    program: string,
    ...args: string[]
  ): Promise<{ status: number | null; output: string }> {
    const { environment } = this.#running.find((each) => each.task === task) ?? {};
    const child = spawn(program, args, {
      cwd: join(task.folder, "root"),
      env: environment ?? {},
      stdio: ["ignore", "pipe", "pipe"],
      timeout: EXEC_MS,
    });
    const ended = once(child, "close");
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
    const [status] = (await ended) as [number | null];
    return { status, output: stdout + stderr };
  }

  async close(): Promise<void> {
    for (const { task } of this.#running) task.kill("UserInitiated", "the test is over");
    await Promise.all(this.#running.map(({ task }) => task.ended));
    await this.moto.stop();
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  #definitionOf(name: PlatformTask) {
    const found = this.deployment
      .resources("AWS::ECS::TaskDefinition")
      .find(({ properties }) => properties.ContainerDefinitions[0].Name === name);
    if (!found) throw new Error(`the template has no task ${name}`);
    return found;
  }

  /** What ECS gives a container by itself, and the network its resolver. */
  #environment(): Record<string, string> {
    return {
      ...awsEnvironment(this.moto.endpoint),
      EMULATOR_ENDPOINT: this.moto.endpoint,
      EMULATED_NAMESPACE: this.namespaces.join(),
      NODE_OPTIONS: `--import=${join(CHECKOUT, "test/harness/aws/resolver.ts")}`,
    };
  }

  async #localize(
    name: PlatformTask,
    given: ContainerDefinition,
    { address, folder }: { address: string; folder: string },
  ): Promise<ContainerDefinition> {
    const root = join(folder, "root");
    await mkdir(root, { recursive: true, mode: 0o700 });
    await mkdir(join(folder, "memory"), { mode: 0o700 });
    if (!given.image?.includes("strongroom/vault")) {
      for (const file of IN_IMAGE) await symlink(join(CHECKOUT, file), join(root, file));
    }
    // The emulator listens on the loopback address that is no task's.
    const local = (text: string) =>
      text
        .split(this.moto.endpoint)
        .map((part) =>
          part
            .replaceAll("/dev/shm", join(folder, "memory"))
            .replaceAll(/127\.0\.0\.1|0\.0\.0\.0|\{\{ GetPrivateIP \}\}/g, address),
        )
        .join(this.moto.endpoint);
    const environment: { name: string; value: string }[] = [
      {
        name: "PATH",
        value: [join(CHECKOUT, "node_modules/.bin"), join(folder, "bin"), "/usr/bin", "/bin"].join(":"),
      },
    ];
    for (const { name: key = "", value = "" } of given.environment ?? []) {
      const [, parameter] = /^published:(.+)$/.exec(value) ?? [];
      const isConfig = name === "internal-vault" && key === "FILE_VAULT_JSON";
      const here = isConfig ? JSON.stringify(this.#vaultConfig) : value;
      environment.push({ name: key, value: parameter ? await this.#parameter(parameter) : local(here) });
    }
    const { entryPoint = [], command = [], healthCheck } = given;
    return {
      ...given,
      environment,
      entryPoint: entryPoint.map(local),
      command: command.map(local),
      ...(healthCheck && {
        healthCheck: { ...healthCheck, command: healthCheck.command?.map(local) },
      }),
    };
  }

  async #parameter(Name: string): Promise<string> {
    const { Parameter } = await this.#ssm.send(new GetParameterCommand({ Name, WithDecryption: true }));
    return Parameter?.Value ?? "";
  }

  /** The namespaces of the template, and in each the services that register there. */
  async #makeNames(): Promise<void> {
    const found = this.deployment.resources("AWS::ServiceDiscovery::PrivateDnsNamespace");
    this.namespaces = found.map(({ properties }) => properties.Name);
    for (const [n, { stack, id, properties }] of found.entries()) {
      // The emulator refuses a VPC two names of which one ends with the other; AWS takes them.
      await this.#cloudMap.send(
        new CreatePrivateDnsNamespaceCommand({ Name: properties.Name, Vpc: `vpc-${n}` }),
      );
      const { Namespaces = [] } = await this.#cloudMap.send(new ListNamespacesCommand({}));
      const NamespaceId = Namespaces.find(({ Name }) => Name === properties.Name)?.Id ?? "";
      const ofTemplate = this.deployment.resolve(stack, { "Fn::GetAtt": [id, "Id"] });
      for (const service of this.deployment.resources("AWS::ServiceDiscovery::Service")) {
        if (service.properties.DnsConfig.NamespaceId !== ofTemplate) continue;
        const { Name } = service.properties;
        const { Service } = await this.#cloudMap.send(new CreateServiceCommand({ Name, NamespaceId }));
        this.#names.set(`${Name}.${properties.Name}`, Service?.Id ?? "");
      }
    }
  }

  async #register(name: PlatformTask, { id, address = "" }: Task): Promise<void> {
    const ServiceId = this.#names.get(this.hostOf(name));
    if (!ServiceId) return;
    await this.#cloudMap.send(
      new RegisterInstanceCommand({
        ServiceId,
        InstanceId: id,
        Attributes: { AWS_INSTANCE_IPV4: address },
      }),
    );
  }
}

/** A container as CloudFormation writes it, as the ECS API does. */
function inCamelCase(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inCamelCase);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key[0]?.toLowerCase() + key.slice(1), inCamelCase(each)]),
  );
}
