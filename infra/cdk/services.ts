import { CfnOutput, Duration, Stack, type StackProps } from "aws-cdk-lib";
import { Certificate } from "aws-cdk-lib/aws-certificatemanager";
import { AvailabilityZoneRebalancing, Cluster, ContainerInsights, FargateService } from "aws-cdk-lib/aws-ecs";
import { DnsRecordType } from "aws-cdk-lib/aws-servicediscovery";
import type { Construct } from "constructs";
import { cellSettings } from "./cell-settings.ts";
import { fileInMemory, SERVICES_USER, Task } from "./container.ts";
import { acknowledgeControlPlane, controlPlanePolicy } from "./control-plane-policy.ts";
import { answers } from "./health-checks.ts";
import { CONTROL_PLANE, controlPlaneAddress } from "./names.ts";
import type { Parts } from "./parts.ts";
import { CONTROL_PLANE_PORT, VAULT_PORT } from "./ports.ts";
import { PrivateEntrance } from "./private-link.ts";
import { PublicEntrance } from "./public-entrance.ts";
import { INTERNAL_CA, INTERNAL_CA_PARAMETER, published } from "./published.ts";
import type { Settings } from "./settings.ts";

const GATEWAY = "gateway";

/** The control plane, which is private, and the gateway behind an entrance from the internet. */
export class Services extends Stack {
  readonly cluster: Cluster;
  readonly controlPlane: Task;
  readonly gateway: Task;
  readonly entrance: PublicEntrance;
  /** Leads from the broker's network to the control plane, for what it publishes. */
  readonly directory: PrivateEntrance;
  readonly #parts: Parts;
  readonly #settings: Settings;

  constructor(scope: Construct, id: string, parts: Parts, settings: Settings, props?: StackProps) {
    super(scope, id, props);
    this.#parts = parts;
    this.#settings = settings;
    this.cluster = new Cluster(this, "Cluster", {
      vpc: parts.network.vpc,
      clusterName: "strongroom-services",
      containerInsightsV2: ContainerInsights.ENABLED,
    });
    const ca = this.#published("ca");
    this.controlPlane = this.#controlPlaneTask(ca);
    const controlPlane = this.#runControlPlane();
    this.directory = new PrivateEntrance(this, "Directory", {
      vpc: parts.network.vpc,
      subnets: { subnets: parts.network.serviceSubnets },
      securityGroup: parts.network.groups.directoryLoadBalancer,
      port: CONTROL_PLANE_PORT,
      service: controlPlane,
      consumer: settings.credentials.broker.account ?? this.account,
      isProtected: settings.isProtected,
    });
    new CfnOutput(this, "DirectoryServiceName", {
      description: "credentials/broker/directoryServiceName, if the broker is in another account",
      value: this.directory.serviceName,
    });
    this.gateway = this.#gatewayTask(ca);
    this.entrance = new PublicEntrance(this, "Entrance", {
      vpc: parts.network.vpc,
      securityGroup: parts.network.groups.loadBalancer,
      certificate: Certificate.fromCertificateArn(this, "Certificate", settings.certificateArn),
      requestsPerAddress: settings.requestsPerAddress,
      isProtected: settings.isProtected,
      metricName: "strongroom",
    });
    const gateway = this.#runGateway();
    // A gateway is ready only once it has a directory, and the deployment circuit breaker waits for no other service.
    gateway.node.addDependency(controlPlane);
    this.entrance.forwardTo(gateway, { name: "Gateway", port: VAULT_PORT, healthPath: "/v1/sys/health" });
  }

  #published(name: string): string {
    return published(this, this.#settings, name);
  }

  #controlPlaneTask(ca: string): Task {
    const { internalVault, cell, network } = this.#parts;
    const { parameterPrefix, operatorAudience, servicesImage } = this.#settings;
    const login = `${parameterPrefix}/platform/${CONTROL_PLANE}`;
    const task = new Task(this, "ControlPlaneTask", {
      name: CONTROL_PLANE,
      cpu: 512,
      memory: 1024,
      repository: network.serviceImages,
      image: servicesImage,
      user: SERVICES_USER,
      environment: {
        STRONGROOM_LISTEN: `0.0.0.0:${CONTROL_PLANE_PORT}`,
        STRONGROOM_INTERNAL_VAULT_ADDR: internalVault.address,
        STRONGROOM_INTERNAL_VAULT_CA_FILE: fileInMemory(INTERNAL_CA),
        STRONGROOM_ROLE_ID_FILE: fileInMemory("role-id"),
        STRONGROOM_SECRET_ID_FILE: fileInMemory("secret-id"),
        STRONGROOM_CA_FILE: fileInMemory("ca.pem"),
        STRONGROOM_ISSUERS_FILE: fileInMemory("issuers.json"),
        STRONGROOM_RECOVERY_KEY_FILE: fileInMemory("recovery-key.asc"),
        STRONGROOM_OPERATOR_AUDIENCE: operatorAudience,
        STRONGROOM_PARAMETERS: "ssm",
        STRONGROOM_PARAMETER_PREFIX: parameterPrefix,
        STRONGROOM_SSM_KEY_ID: cell.parameterKey.keyArn,
        STRONGROOM_SSM_REGION: this.region,
        STRONGROOM_RUNTIME: "ecs",
        STRONGROOM_CELL: this.toJsonString(cellSettings(this.#parts, this.#settings)),
      },
      files: {
        "ca.pem": ca,
        [INTERNAL_CA]: this.#published(INTERNAL_CA_PARAMETER),
        "issuers.json": this.#published("issuers"),
        "recovery-key.asc": this.#published("recovery-key"),
      },
      secretFiles: {
        key: network.platformKey,
        parameters: { "role-id": `${login}/role-id`, "secret-id": `${login}/secret-id` },
      },
      command: ["node", "services/control-plane/main.ts"],
      port: CONTROL_PLANE_PORT,
      healthCheck: answers(`http://127.0.0.1:${CONTROL_PLANE_PORT}/v1/health`),
    });
    for (const statement of controlPlanePolicy(cell)) task.role.addToPolicy(statement);
    acknowledgeControlPlane(task.role, cell);
    return task;
  }

  #runControlPlane(): FargateService {
    const { network, cell } = this.#parts;
    return new FargateService(this, "ControlPlane", {
      cluster: this.cluster,
      serviceName: CONTROL_PLANE,
      taskDefinition: this.controlPlane.definition,
      desiredCount: 1,
      // One task at a time, since its locks on organizations are in its memory. Vaults and gateways run without it.
      minHealthyPercent: 0,
      maxHealthyPercent: 100,
      availabilityZoneRebalancing: AvailabilityZoneRebalancing.DISABLED,
      circuitBreaker: { rollback: true },
      assignPublicIp: false,
      vpcSubnets: { subnets: network.serviceSubnets },
      securityGroups: [network.groups.controlPlane],
      cloudMapOptions: {
        cloudMapNamespace: cell.namespace,
        name: CONTROL_PLANE,
        dnsRecordType: DnsRecordType.A,
        dnsTtl: Duration.seconds(5),
      },
    });
  }

  #gatewayTask(ca: string): Task {
    const { network } = this.#parts;
    return new Task(this, "GatewayTask", {
      name: GATEWAY,
      cpu: 1024,
      memory: 2048,
      repository: network.serviceImages,
      image: this.#settings.servicesImage,
      user: SERVICES_USER,
      environment: {
        STRONGROOM_LISTEN: `0.0.0.0:${VAULT_PORT}`,
        STRONGROOM_DIRECTORY_URL: `${controlPlaneAddress(this.#settings)}/v1/directory`,
        STRONGROOM_DIRECTORY_KEY_FILE: fileInMemory("directory-key.pem"),
        STRONGROOM_OWNERSHIP_KEY_FILE: fileInMemory("ownership-key.pem"),
        STRONGROOM_DIRECTORY_COPY: fileInMemory("directory.jws"),
        STRONGROOM_REVOCATIONS_URL: `${controlPlaneAddress(this.#settings)}/v1/revocations`,
        STRONGROOM_REVOCATIONS_COPY: fileInMemory("revocations.jws"),
        STRONGROOM_CA_FILE: fileInMemory("ca.pem"),
        STRONGROOM_BEHIND_PROXY: "true", // all connections come from the load balancer's address
      },
      files: {
        "ca.pem": ca,
        "directory-key.pem": this.#published("directory-key"),
        "ownership-key.pem": this.#published("ownership-key"),
      },
      // It has one core: see docs/decisions/gateway-speed.md.
      command: ["node", "--single-threaded-gc", "services/gateway/main.ts"],
      port: VAULT_PORT,
      healthCheck: answers(`http://127.0.0.1:${VAULT_PORT}/v1/sys/health`),
    });
  }

  #runGateway(): FargateService {
    const { network } = this.#parts;
    return new FargateService(this, "Gateway", {
      cluster: this.cluster,
      serviceName: GATEWAY,
      taskDefinition: this.gateway.definition,
      desiredCount: this.#settings.gateways,
      minHealthyPercent: 100,
      maxHealthyPercent: 200,
      availabilityZoneRebalancing: AvailabilityZoneRebalancing.ENABLED,
      circuitBreaker: { rollback: true },
      assignPublicIp: false,
      // ECS also replaces tasks that the load balancer finds unhealthy. A new gateway waits while the control plane is
      // down, and replacing it would only make it wait again.
      healthCheckGracePeriod: Duration.minutes(15),
      vpcSubnets: { subnets: network.serviceSubnets },
      securityGroups: [network.groups.gateway],
    });
  }
}
