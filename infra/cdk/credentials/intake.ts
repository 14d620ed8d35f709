import { Duration, RemovalPolicy, Stack, type StackProps } from "aws-cdk-lib";
import { Certificate } from "aws-cdk-lib/aws-certificatemanager";
import { AttributeType, BillingMode, Table, TableEncryption } from "aws-cdk-lib/aws-dynamodb";
import { AvailabilityZoneRebalancing, Cluster, ContainerInsights, FargateService } from "aws-cdk-lib/aws-ecs";
import type { Key } from "aws-cdk-lib/aws-kms";
import type { Construct } from "constructs";
import type { Purpose } from "../../../services/shared/work/kinds.ts";
import { fileInMemory, SERVICES_USER, Task } from "../container.ts";
import { answers } from "../health-checks.ts";
import { customerKey } from "../keys.ts";
import { controlPlaneAddress } from "../names.ts";
import type { Network } from "../network.ts";
import { BROKER_PORT, INTAKE_PORT } from "../ports.ts";
import { privateEndpoint } from "../private-link.ts";
import { PublicEntrance } from "../public-entrance.ts";
import { published } from "../published.ts";
import type { Settings } from "../settings.ts";
import { intakePolicy } from "./intake-policy.ts";
import { brokerParameters, INTAKE, INTAKE_TABLE, queueSetting } from "./names.ts";
import { receiptsKeyOf } from "./receipts-key.ts";

/** DynamoDB's maximum. A deleted credential's ciphertext can be restored for as long. */
const RECOVERY_DAYS = 35;

/** The intake behind an entrance of its own, and its table: ciphertext and metadata, which it cannot open. */
export class Intake extends Stack {
  readonly cluster: Cluster;
  readonly task: Task;
  readonly table: Table;
  readonly entrance: PublicEntrance;

  constructor(
    scope: Construct,
    id: string,
    network: Network,
    { keyArns, brokerService }: { keyArns: Record<Purpose, string>; brokerService: string },
    settings: Settings,
    props?: StackProps,
  ) {
    super(scope, id, props);
    const broker = privateEndpoint(this, "BrokerEndpoint", {
      ...{ vpc: network.vpc, subnets: { subnets: network.serviceSubnets }, port: BROKER_PORT },
      ...{ securityGroup: network.groups.broker, serviceName: brokerService },
    });
    const receiptsKey = receiptsKeyOf(this, "ReceiptsKey");
    const tableKey = customerKey(this, "TableKey", "Strongroom: the intake's table");
    this.table = this.#table(tableKey, settings);
    this.task = this.#task(network, { keyArns, receiptsKey: receiptsKey.keyArn, broker }, settings);
    for (const statement of intakePolicy({
      stack: this,
      settings: settings.credentials,
      keyArns,
      receiptsKeyArn: receiptsKey.keyArn,
      tableArn: this.table.tableArn,
      tableKeyArn: tableKey.keyArn,
    })) {
      this.task.role.addToPolicy(statement);
    }
    this.cluster = new Cluster(this, "Cluster", {
      vpc: network.vpc,
      clusterName: "strongroom-intake",
      containerInsightsV2: ContainerInsights.ENABLED,
    });
    const service = new FargateService(this, "Service", {
      cluster: this.cluster,
      serviceName: INTAKE,
      taskDefinition: this.task.definition,
      desiredCount: settings.credentials.intakes,
      minHealthyPercent: 100,
      maxHealthyPercent: 200,
      availabilityZoneRebalancing: AvailabilityZoneRebalancing.ENABLED,
      circuitBreaker: { rollback: true },
      assignPublicIp: false,
      // As for the gateway: a new intake waits for a directory, and its replacement would only wait again.
      healthCheckGracePeriod: Duration.minutes(15),
      vpcSubnets: { subnets: network.serviceSubnets },
      securityGroups: [network.groups.intake],
    });
    this.entrance = new PublicEntrance(this, "Entrance", {
      vpc: network.vpc,
      securityGroup: network.groups.intakeLoadBalancer,
      certificate: Certificate.fromCertificateArn(
        this,
        "Certificate",
        settings.credentials.certificateArn ?? settings.certificateArn,
      ),
      requestsPerAddress: settings.requestsPerAddress,
      isProtected: settings.isProtected,
      metricName: "strongroom-intake",
    });
    this.entrance.forwardTo(service, { name: "Intake", port: INTAKE_PORT, healthPath: "/v1/ready" });
  }

  #table(encryptionKey: Key, { isProtected }: Settings): Table {
    return new Table(this, "Table", {
      tableName: INTAKE_TABLE,
      partitionKey: { name: "pk", type: AttributeType.STRING },
      sortKey: { name: "sk", type: AttributeType.STRING },
      timeToLiveAttribute: "expires",
      billingMode: BillingMode.PAY_PER_REQUEST,
      encryption: TableEncryption.CUSTOMER_MANAGED,
      encryptionKey,
      pointInTimeRecoverySpecification: {
        pointInTimeRecoveryEnabled: true,
        recoveryPeriodInDays: RECOVERY_DAYS,
      },
      deletionProtection: isProtected,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
  }

  #task(
    network: Network,
    {
      keyArns,
      receiptsKey,
      broker,
    }: { keyArns: Record<Purpose, string>; receiptsKey: string; broker: string },
    settings: Settings,
  ): Task {
    const { credentials, servicesImage, parameterPrefix } = settings;
    return new Task(this, "Task", {
      name: INTAKE,
      cpu: 1024,
      memory: 2048,
      repository: network.serviceImages,
      image: servicesImage,
      user: SERVICES_USER,
      environment: {
        STRONGROOM_LISTEN: `0.0.0.0:${INTAKE_PORT}`,
        STRONGROOM_DIRECTORY_URL: `${controlPlaneAddress(settings)}/v1/directory`,
        STRONGROOM_DIRECTORY_KEY_FILE: fileInMemory("directory-key.pem"),
        STRONGROOM_OWNERSHIP_KEY_FILE: fileInMemory("ownership-key.pem"),
        STRONGROOM_DIRECTORY_COPY: fileInMemory("directory.jws"),
        STRONGROOM_REVOCATIONS_URL: `${controlPlaneAddress(settings)}/v1/revocations`,
        STRONGROOM_REVOCATIONS_COPY: fileInMemory("revocations.jws"),
        STRONGROOM_BEHIND_PROXY: "true", // all connections come from the load balancer's address
        STRONGROOM_STORE: `dynamodb:${INTAKE_TABLE}`,
        STRONGROOM_INTEGRATION_KEY: `kms:${keyArns.integration}`,
        STRONGROOM_WEBHOOK_KEY: `kms:${keyArns.webhook}`,
        STRONGROOM_BROKER_KEY: `kms:${keyArns.broker}`,
        STRONGROOM_BROKER_URL: `https://${broker}:${BROKER_PORT}`,
        STRONGROOM_BROKER_CERTIFICATES_FILE: fileInMemory("broker-certificate.pem"),
        STRONGROOM_BROKER_CLIENT_CERTIFICATE_FILE: fileInMemory("broker-client-certificate.pem"),
        STRONGROOM_BROKER_CLIENT_KEY_FILE: fileInMemory("broker-client-key.pem"),
        STRONGROOM_RECEIPTS_KEY: `kms:${receiptsKey}`,
        STRONGROOM_INTEGRATION_QUEUES: queueSetting(this, credentials, "integration"),
        STRONGROOM_WEBHOOK_QUEUES: queueSetting(this, credentials, "webhook"),
        STRONGROOM_FEED_QUEUES: queueSetting(this, credentials, "feed"),
        STRONGROOM_BROKER_QUEUES: queueSetting(this, credentials, "broker"),
        STRONGROOM_AWS_REGION: this.region,
        STRONGROOM_DESTINATION_PORTS: "443", // the only port that leads out of the workers' networks
      },
      files: {
        "directory-key.pem": published(this, settings, "directory-key"),
        "ownership-key.pem": published(this, settings, "ownership-key"),
      },
      secretFiles: { key: network.platformKey, parameters: brokerParameters(parameterPrefix, "intake") },
      command: ["node", "--disable-sigusr1", "services/intake/main.ts"],
      port: INTAKE_PORT,
      healthCheck: answers(`http://127.0.0.1:${INTAKE_PORT}/v1/health`),
    });
  }
}
