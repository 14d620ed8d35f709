import { Duration, RemovalPolicy, Size, Stack } from "aws-cdk-lib";
import type { IRepository } from "aws-cdk-lib/aws-ecr";
import {
  AwsLogDriverMode,
  Capability,
  ContainerImage,
  CpuArchitecture,
  FargateTaskDefinition,
  LinuxParameters,
  LogDriver,
  OperatingSystemFamily,
  Secret,
} from "aws-cdk-lib/aws-ecs";
import { PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import type { IKey } from "aws-cdk-lib/aws-kms";
import { LogGroup, RetentionDays } from "aws-cdk-lib/aws-logs";
import { StringParameter } from "aws-cdk-lib/aws-ssm";
import { Construct } from "constructs";
import { acknowledge } from "./acknowledge.ts";
import { digestOf } from "./settings.ts";

/** IAM path of the platform's own roles, which excludes organizations' roles. */
export const PLATFORM_ROLE_PATH = "/strongroom/platform/";

/** A tmpfs in every container, on any launch type; its content does not outlive the task. */
export const FOLDER = "/dev/shm/strongroom";

/** The path of a file in the container. */
export const fileInMemory = (name: string): string => `${FOLDER}/${name}`;

/** User and group of the services' image, and of Vault's. */
export const SERVICES_USER = "1000:1000";
export const VAULT_USER = "100:1000";

export interface TaskOptions {
  /** Name of its two roles, log group and task definitions, after `strongroom-`. */
  name: string;
  cpu: number;
  memory: number;
  repository: IRepository;
  /** Tag and digest of the image in it. */
  image: string;
  user: string;
  /** Plain settings, without secrets. */
  environment: Record<string, string>;
  /** Public files, by name; each at {@link fileInMemory}. */
  files: Record<string, string>;
  /** Secret files: the SecureString for each, by file name. Not in the environment when the command runs. */
  secretFiles?: { key: IKey; parameters: Record<string, string> };
  command: string[];
  /** Whether people enter it: ECS Exec needs a writable root file system. */
  isEntered?: boolean;
  port?: number;
  /** Seconds from SIGTERM to SIGKILL, at most 120; 30 unless given. */
  stopSeconds?: number;
  healthCheck?: string[];
}

/**
 * One container as a Fargate task: read-only, without capabilities, not root, with its files written to memory before
 * its command starts. Its roles have the permissions that every task needs, plus those added to them.
 */
export class Task extends Construct {
  readonly definition: FargateTaskDefinition;
  /** The container's permissions. */
  readonly role: Role;
  /** The permissions that ECS needs to start it. */
  readonly executionRole: Role;
  readonly log: LogGroup;

  constructor(scope: Construct, id: string, options: TaskOptions) {
    super(scope, id);
    const { name, environment, files, secretFiles, repository, image } = options;
    this.log = new LogGroup(this, "Log", {
      logGroupName: `/strongroom/platform/${name}`,
      retention: RetentionDays.ONE_YEAR,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    this.role = taskRole(this, "Role", `strongroom-${name}`);
    this.executionRole = taskRole(this, "ExecutionRole", `strongroom-${name}-execution`);
    repository.grantPull(this.executionRole);
    this.log.grantWrite(this.executionRole);
    acknowledge(this.executionRole, {
      "IAM5[Resource::*]": "ecr:GetAuthorizationToken has no resource-level permissions",
    });
    const secrets = this.#secrets(secretFiles);
    this.definition = new FargateTaskDefinition(this, "Definition", {
      family: `strongroom-${name}`,
      cpu: options.cpu,
      memoryLimitMiB: options.memory,
      taskRole: this.role,
      // CDK would add an unconditional kms:Decrypt and ssm:GetParameter* for each secret.
      executionRole: this.executionRole.withoutPolicyUpdates(),
      runtimePlatform: {
        cpuArchitecture: CpuArchitecture.ARM64,
        operatingSystemFamily: OperatingSystemFamily.LINUX,
      },
    });
    // Depends on the role's policies, so that no task starts before them.
    this.definition.node.addDependency(this.executionRole);
    acknowledge(this.definition, {
      ECS2: "The environment contains settings and public files; secrets are referenced by parameter",
    });
    const variable = (file: string) => `FILE_${file.toUpperCase().replaceAll(/[^A-Z0-9]/g, "_")}`;
    const named = <T>(of: Record<string, T>) =>
      Object.fromEntries(Object.entries(of).map(([file, value]) => [variable(file), value]));
    const linux = new LinuxParameters(this, "Linux", { initProcessEnabled: true });
    if (!options.isEntered) linux.dropCapabilities(Capability.ALL);
    this.definition.addContainer("container", {
      containerName: name,
      image: ContainerImage.fromEcrRepository(repository, digestOf(image)),
      user: options.user,
      environment: { ...environment, ...named(files) },
      secrets: named(secrets),
      entryPoint: ["/bin/sh", "-euc", writeFiles([...Object.keys(files), ...Object.keys(secrets)], variable)],
      // `sh -c` takes the first argument after the script as $0.
      command: ["sh", ...options.command],
      readonlyRootFilesystem: !options.isEntered,
      linuxParameters: linux,
      logging: LogDriver.awsLogs({
        logGroup: this.log,
        streamPrefix: name,
        // Otherwise an unresponsive log service would block logging, and with it every request.
        mode: AwsLogDriverMode.NON_BLOCKING,
        maxBufferSize: Size.mebibytes(25),
      }),
      stopTimeout: Duration.seconds(options.stopSeconds ?? 30),
      ...(options.port && { portMappings: [{ containerPort: options.port }] }),
      ...(options.healthCheck && {
        healthCheck: {
          command: options.healthCheck,
          interval: Duration.seconds(5),
          timeout: Duration.seconds(2),
          retries: 3,
          startPeriod: Duration.seconds(60),
        },
      }),
    });
  }

  /** Lets ECS read and decrypt exactly these parameters when it starts the task. */
  #secrets(from: TaskOptions["secretFiles"]): Record<string, Secret> {
    if (!from) return {};
    const { key, parameters } = from;
    const stack = Stack.of(this);
    const arns = Object.values(parameters).map((name) =>
      stack.formatArn({ service: "ssm", resource: "parameter", resourceName: name.slice(1) }),
    );
    this.executionRole.addToPolicy(new PolicyStatement({ actions: ["ssm:GetParameters"], resources: arns }));
    this.executionRole.addToPolicy(
      new PolicyStatement({
        actions: ["kms:Decrypt"],
        resources: [key.keyArn],
        conditions: {
          StringEquals: {
            "kms:ViaService": `ssm.${stack.region}.amazonaws.com`,
            "kms:EncryptionContext:PARAMETER_ARN": arns,
          },
        },
      }),
    );
    return Object.fromEntries(
      Object.entries(parameters).map(([file, parameterName]) => [
        file,
        Secret.fromSsmParameter(
          StringParameter.fromSecureStringParameterAttributes(this, file, { parameterName }),
        ),
      ]),
    );
  }
}

/** A shell script that writes each file from its variable, unsets the variable, and execs the command. */
function writeFiles(files: string[], variable: (file: string) => string): string {
  return [
    "umask 077",
    `mkdir -p ${FOLDER}`,
    ...files.map(
      (file) => `printf '%s' "$${variable(file)}" > ${fileInMemory(file)}; unset ${variable(file)}`,
    ),
    'exec "$@"',
  ].join("\n");
}

function taskRole(scope: Construct, id: string, roleName: string): Role {
  const { account, partition, region } = Stack.of(scope);
  return new Role(scope, id, {
    roleName,
    path: PLATFORM_ROLE_PATH,
    assumedBy: new ServicePrincipal("ecs-tasks.amazonaws.com", {
      conditions: {
        StringEquals: { "aws:SourceAccount": account },
        ArnLike: { "aws:SourceArn": `arn:${partition}:ecs:${region}:${account}:*` },
      },
    }),
  });
}
