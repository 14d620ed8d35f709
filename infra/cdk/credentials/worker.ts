import { CfnOutput, Stack, type StackProps, Validations } from "aws-cdk-lib";
import { Repository } from "aws-cdk-lib/aws-ecr";
import { AvailabilityZoneRebalancing, Cluster, ContainerInsights, FargateService } from "aws-cdk-lib/aws-ecs";
import type { Key } from "aws-cdk-lib/aws-kms";
import type { Construct } from "constructs";
import type { Kind } from "../../../services/shared/work/kinds.ts";
import { SERVICES_USER, Task } from "../container.ts";
import { SERVICE_IMAGES } from "../network.ts";
import type { Settings } from "../settings.ts";
import { credentialKey } from "./credential-key.ts";
import { intakeRole, queuePrefix, queueSetting, workerService } from "./names.ts";
import { WorkQueues } from "./queues.ts";
import { redriveRoleFor } from "./redrive.ts";
import { WorkerNetwork } from "./worker-network.ts";
import { isPurpose, workerPolicy } from "./worker-policy.ts";

/**
 * With Node's permission model (services/cli/platform/worker-flags.ts): it reads the files of its image and writes none,
 * starts no process, thread or debugger. The model does not limit connections; the network does.
 */
const WORKER_COMMAND = [
  "node",
  "--permission",
  "--allow-fs-read=/strongroom",
  "--disable-sigusr1",
  "--disallow-code-generation-from-strings",
  "--no-addons",
  "services/worker/main.ts",
];

/** A worker ends itself after so many: 40 minutes at 200 a second, since a new task takes a minute to start. */
const MAX_JOBS = "500000";
/** A worker lets the jobs in hand end, for 35 seconds. */
const STOP_SECONDS = 45;

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
  readonly #zones: string[];

  constructor(scope: Construct, id: string, kind: Kind, settings: Settings, props?: StackProps) {
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
    const network = new WorkerNetwork(this, "Network", {
      zones: settings.zones,
      natGateways: credentials[kind].natGateways,
      queueArns: `arn:${this.partition}:sqs:${this.region}:${this.account}:${queuePrefix(kind)}*`,
      keyArn: this.key?.keyArn,
    });
    this.task = this.#task(settings);
    this.cluster = new Cluster(this, "Cluster", {
      vpc: network.vpc,
      clusterName: `strongroom-${workerService(kind)}`,
      containerInsightsV2: ContainerInsights.ENABLED,
    });
    new FargateService(this, "Service", {
      cluster: this.cluster,
      serviceName: workerService(kind),
      taskDefinition: this.task.definition,
      desiredCount: credentials[kind].tasks,
      minHealthyPercent: 100,
      maxHealthyPercent: 200,
      availabilityZoneRebalancing: AvailabilityZoneRebalancing.ENABLED,
      circuitBreaker: { rollback: true },
      assignPublicIp: false,
      vpcSubnets: { subnetGroupName: "workers" },
      securityGroups: [network.workers],
    });
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

  #task({ credentials, servicesImage }: Settings): Task {
    const { kind, key } = this;
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
      },
      files: {},
      command: WORKER_COMMAND,
      stopSeconds: STOP_SECONDS,
    });
    for (const statement of workerPolicy(this, credentials, kind, key?.keyArn)) {
      task.role.addToPolicy(statement);
    }
    return task;
  }
}
