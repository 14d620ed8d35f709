import { CfnOutput, Duration, Stack, type StackProps, Validations } from "aws-cdk-lib";
import { Repository } from "aws-cdk-lib/aws-ecr";
import { AvailabilityZoneRebalancing, Cluster, ContainerInsights, FargateService } from "aws-cdk-lib/aws-ecs";
import { type IKey, Key } from "aws-cdk-lib/aws-kms";
import type { Construct } from "constructs";
import type { Kind } from "../../../services/shared/work/kinds.ts";
import { FOLDER, fileInMemory, SERVICES_USER, Task, type TaskOptions } from "../container.ts";
import { accepts } from "../health-checks.ts";
import { SERVICE_IMAGES } from "../network.ts";
import { BROKER_PORT, CONTROL_PLANE_PORT } from "../ports.ts";
import { PrivateEntrance, privateEndpoint } from "../private-link.ts";
import { published } from "../published.ts";
import type { Settings } from "../settings.ts";
import { credentialKey } from "./credential-key.ts";
import { brokerParameters, intakeRole, queuePrefix, queueSetting, workerService } from "./names.ts";
import { WorkQueues } from "./queues.ts";
import { redriveRoleFor } from "./redrive.ts";
import { WorkerNetwork } from "./worker-network.ts";
import { isPurpose, workerPolicy } from "./worker-policy.ts";

/**
 * With Node's permission model (services/cli/platform/worker-flags.ts): it reads the files of its image and writes none,
 * starts no process, thread or debugger. The model does not limit connections; the network does.
 */
const workerCommand = (...grants: string[]): string[] => [
  "node",
  "--permission",
  "--allow-fs-read=/strongroom",
  ...grants,
  "--disable-sigusr1",
  "--disallow-code-generation-from-strings",
  "--no-addons",
  "services/worker/main.ts",
];
/** The broker reads its certificates, and writes its copies of published documents, in the container's memory. */
const FILES_IN_MEMORY = ["read", "write"].map((what) => `--allow-fs-${what}=${FOLDER}`);

/** A worker ends itself after so many: 40 minutes at 200 a second, since a new task takes a minute to start. */
const MAX_JOBS = "500000";
/** A worker lets the jobs in hand end, for 35 seconds. */
const STOP_SECONDS = 45;

/** What the kind that listens needs of others. */
export interface Listens {
  /** The endpoint service of what the control plane publishes. */
  directoryService: string;
  /** The key of its parameters, or the key's ARN. It is there before the stack, as they have to be. */
  platformKey: IKey | string;
}

/**
 * One kind of worker with all that is its own: network, queues, and the key that it alone decrypts with. The stack
 * refers to no other one, so it can be in an account of its own.
 */
export class Worker extends Stack {
  readonly kind: Kind;
  /** Absent for a kind that opens nothing. */
  readonly key: Key | undefined;
  readonly queues: WorkQueues;
  readonly cluster: Cluster;
  readonly task: Task;
  /** By which the intake's network has an endpoint; only of a kind that listens. */
  readonly entrance: PrivateEntrance | undefined;
  readonly #zones: string[];

  /** `listens`: for the kind that does. */
  constructor(
    scope: Construct,
    id: string,
    { kind, listens }: { kind: Kind; listens?: Listens | undefined },
    settings: Settings,
    props?: StackProps,
  ) {
    super(scope, id, props);
    this.kind = kind;
    this.#zones = settings.zones;
    Validations.of(this).acknowledge({
      id: "CloudFormation-Validate::W3010",
      reason: "The zones are settings, in every stack; CDK's own getter, overridden here, says so too",
    });
    const { credentials } = settings;
    this.key = isPurpose(kind) ? credentialKey(this, "Key", kind, credentials) : undefined;
    this.queues = new WorkQueues(this, "Queues", kind, credentials);
    redriveRoleFor(this, "Redrive", kind, this.queues);
    const parameters = brokerParameters(settings.parameterPrefix, "broker");
    const network = new WorkerNetwork(this, "Network", {
      zones: settings.zones,
      natGateways: credentials[kind].natGateways,
      queueArns: `arn:${this.partition}:sqs:${this.region}:${this.account}:${queuePrefix(kind)}*`,
      keyArn: this.key?.keyArn,
      ...(listens && {
        listener: {
          port: BROKER_PORT,
          parameterArns: Object.values(parameters).map((name) =>
            this.formatArn({ service: "ssm", resource: "parameter", resourceName: name.slice(1) }),
          ),
        },
      }),
    });
    const subnets = { subnetGroupName: "workers" };
    let listener: Partial<TaskOptions> | undefined;
    if (network.listener && listens) {
      const directory = privateEndpoint(network, "DirectoryEndpoint", {
        ...{ vpc: network.vpc, subnets, securityGroup: network.listener.directory, port: CONTROL_PLANE_PORT },
        serviceName: listens.directoryService,
      });
      const { platformKey } = listens;
      const key =
        typeof platformKey === "string" ? Key.fromKeyArn(this, "PlatformKey", platformKey) : platformKey;
      listener = this.#listener(directory, key, settings);
    }
    this.task = this.#task(settings, listener);
    this.cluster = new Cluster(this, "Cluster", {
      vpc: network.vpc,
      clusterName: `strongroom-${workerService(kind)}`,
      containerInsightsV2: ContainerInsights.ENABLED,
    });
    const service = new FargateService(this, "Service", {
      cluster: this.cluster,
      serviceName: workerService(kind),
      taskDefinition: this.task.definition,
      desiredCount: credentials[kind].tasks,
      minHealthyPercent: 100,
      maxHealthyPercent: 200,
      availabilityZoneRebalancing: AvailabilityZoneRebalancing.ENABLED,
      circuitBreaker: { rollback: true },
      assignPublicIp: false,
      vpcSubnets: subnets,
      securityGroups: [network.workers],
      ...(network.listener && { healthCheckGracePeriod: Duration.minutes(2) }),
    });
    if (network.listener) {
      this.entrance = new PrivateEntrance(this, "Entrance", {
        ...{ vpc: network.vpc, subnets, port: BROKER_PORT, service, isProtected: settings.isProtected },
        securityGroup: network.listener.loadBalancer,
        consumer: intakeRole(this, credentials).account,
      });
      new CfnOutput(this, "ServiceName", {
        description: "credentials/broker/serviceName of the intake's account, if this is another one",
        value: this.entrance.serviceName,
      });
    }
    if (this.key) {
      new CfnOutput(this, "KeyArn", {
        description: `credentials/${kind}/keyArn of the intake's account, if this is another one`,
        value: this.key.keyArn,
      });
    }
  }

  /** The settings' zones. CDK would ask the account for its own ones, as soon as a stack names an account. */
  override get availabilityZones(): string[] {
    return this.#zones;
  }

  /** What a worker that listens has beside: its certificate, the intake's, and what verifies callers. */
  #listener(directory: string, key: IKey, settings: Settings): Partial<TaskOptions> {
    return {
      environment: {
        STRONGROOM_LISTEN: `0.0.0.0:${BROKER_PORT}`,
        STRONGROOM_TLS_CERTIFICATE_FILE: fileInMemory("certificate.pem"),
        STRONGROOM_TLS_KEY_FILE: fileInMemory("key.pem"),
        STRONGROOM_INTAKE_CERTIFICATES_FILE: fileInMemory("intake-certificate.pem"),
        STRONGROOM_DIRECTORY_URL: `http://${directory}:${CONTROL_PLANE_PORT}/v1/directory`,
        STRONGROOM_DIRECTORY_KEY_FILE: fileInMemory("directory-key.pem"),
        STRONGROOM_OWNERSHIP_KEY_FILE: fileInMemory("ownership-key.pem"),
        STRONGROOM_DIRECTORY_COPY: fileInMemory("directory.jws"),
        STRONGROOM_REVOCATIONS_URL: `http://${directory}:${CONTROL_PLANE_PORT}/v1/revocations`,
        STRONGROOM_REVOCATIONS_COPY: fileInMemory("revocations.jws"),
      },
      files: {
        "directory-key.pem": published(this, settings, "directory-key"),
        "ownership-key.pem": published(this, settings, "ownership-key"),
      },
      secretFiles: { key, parameters: brokerParameters(settings.parameterPrefix, "broker") },
      command: workerCommand(...FILES_IN_MEMORY),
      port: BROKER_PORT,
      healthCheck: accepts(BROKER_PORT),
    };
  }

  #task({ credentials, servicesImage }: Settings, listener: Partial<TaskOptions> = {}): Task {
    const { kind, key } = this;
    const { environment, ...more } = listener;
    const registry = intakeRole(this, credentials).account;
    const task = new Task(this, "Task", {
      name: workerService(kind),
      cpu: 1024,
      memory: 2048,
      repository: Repository.fromRepositoryAttributes(this, "Images", {
        repositoryName: SERVICE_IMAGES,
        repositoryArn: `arn:${this.partition}:ecr:${this.region}:${registry}:repository/${SERVICE_IMAGES}`,
      }),
      image: servicesImage,
      user: SERVICES_USER,
      environment: {
        STRONGROOM_KIND: kind,
        STRONGROOM_QUEUES: queueSetting(this, credentials, kind),
        STRONGROOM_AWS_REGION: this.region,
        STRONGROOM_MAX_JOBS: MAX_JOBS,
        ...(key && { STRONGROOM_KEY: `kms:${key.keyArn}` }),
        ...environment,
      },
      files: {},
      command: workerCommand(),
      stopSeconds: STOP_SECONDS,
      ...more,
    });
    for (const statement of workerPolicy(this, credentials, kind, key?.keyArn)) {
      task.role.addToPolicy(statement);
    }
    return task;
  }
}
