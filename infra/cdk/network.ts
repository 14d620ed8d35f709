import { RemovalPolicy, Stack, type StackProps } from "aws-cdk-lib";
import {
  FlowLogDestination,
  GatewayVpcEndpointAwsService,
  InterfaceVpcEndpointAwsService,
  IpAddresses,
  type ISubnet,
  SubnetType,
  Vpc,
} from "aws-cdk-lib/aws-ec2";
import { Repository, TagMutability } from "aws-cdk-lib/aws-ecr";
import { AccountPrincipal, AnyPrincipal, PolicyStatement } from "aws-cdk-lib/aws-iam";
import type { Key } from "aws-cdk-lib/aws-kms";
import { LogGroup, RetentionDays } from "aws-cdk-lib/aws-logs";
import type { Construct } from "constructs";
import { KINDS } from "../../services/shared/work/kinds.ts";
import { PLATFORM_ROLE_PATH } from "./container.ts";
import { workerService } from "./credentials/names.ts";
import type { CredentialSettings } from "./credentials/settings.ts";
import { customerKey } from "./keys.ts";
import { SecurityGroups } from "./security-groups.ts";
import type { Settings } from "./settings.ts";

const KEEP_IMAGES = 100;

/** The repository of the services' image, which workers in other accounts pull from too. */
export const SERVICE_IMAGES = "strongroom/services";

/** The base of all other stacks: three zones, security groups, image repositories, and the platform's key. */
export class Network extends Stack {
  readonly vpc: Vpc;
  readonly groups: SecurityGroups;
  /** Isolated: no route to or from the internet. */
  readonly vaultSubnets: ISubnet[];
  /** With internet access through NAT, since the services fetch issuers' keys. */
  readonly serviceSubnets: ISubnet[];
  readonly vaultImages: Repository;
  readonly serviceImages: Repository;
  /** Encrypts the platform's own parameters, which exist before any other stack, and no organization's. */
  readonly platformKey: Key;

  constructor(scope: Construct, id: string, settings: Settings, props?: StackProps) {
    super(scope, id, props);
    this.vpc = new Vpc(this, "Vpc", {
      availabilityZones: settings.zones,
      ipAddresses: IpAddresses.cidr("10.64.0.0/16"),
      restrictDefaultSecurityGroup: false,
      subnetConfiguration: [
        { name: "public", subnetType: SubnetType.PUBLIC, cidrMask: 24, mapPublicIpOnLaunch: false },
        { name: "services", subnetType: SubnetType.PRIVATE_WITH_EGRESS, cidrMask: 24 },
        { name: "vaults", subnetType: SubnetType.PRIVATE_ISOLATED, cidrMask: 20 },
      ],
      flowLogs: {
        all: {
          destination: FlowLogDestination.toCloudWatchLogs(
            new LogGroup(this, "FlowLog", {
              retention: RetentionDays.THREE_MONTHS,
              removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
            }),
          ),
        },
      },
    });
    this.vaultSubnets = this.vpc.selectSubnets({ subnetGroupName: "vaults" }).subnets;
    this.serviceSubnets = this.vpc.selectSubnets({ subnetGroupName: "services" }).subnets;
    this.groups = new SecurityGroups(this, "Reach", this.vpc);
    this.#endpoints();
    this.vaultImages = this.#images("VaultImages", "strongroom/vault");
    this.serviceImages = this.#images("ServiceImages", SERVICE_IMAGES);
    this.#admitWorkers(settings.credentials);
    this.platformKey = customerKey(
      this,
      "PlatformKey",
      "Strongroom: the platform's own parameters",
      "alias/strongroom-platform",
    );
  }

  #endpoints(): void {
    const { ECR, ECR_DOCKER, CLOUDWATCH_LOGS, SSM, KMS, SQS } = InterfaceVpcEndpointAwsService;
    const own = { StringEquals: { "aws:PrincipalAccount": this.account } };
    for (const [name, service] of Object.entries({ ECR, ECR_DOCKER, CLOUDWATCH_LOGS, SSM, KMS, SQS })) {
      const endpoint = this.vpc.addInterfaceEndpoint(name, {
        service,
        subnets: { subnets: this.vaultSubnets },
        securityGroups: [this.groups.endpoints],
        open: false,
      });
      endpoint.addToPolicy(through(["*"], ["*"], own));
    }
    const subnets = [{ subnets: [...this.vaultSubnets, ...this.serviceSubnets] }];
    const { S3, DYNAMODB } = GatewayVpcEndpointAwsService;
    const resourcesToo = {
      StringEquals: { ...own.StringEquals, "aws:ResourceAccount": this.account },
    };
    this.vpc
      .addGatewayEndpoint("DYNAMODB", { service: DYNAMODB, subnets })
      .addToPolicy(through(["*"], ["*"], resourcesToo));
    const s3 = this.vpc.addGatewayEndpoint("S3", { service: S3, subnets });
    s3.addToPolicy(through(["*"], ["*"], resourcesToo));
    // Image layers are in a bucket that AWS owns.
    const layers = `arn:${this.partition}:s3:::prod-${this.region}-starport-layer-bucket/*`;
    s3.addToPolicy(through(["s3:GetObject"], [layers]));
  }

  /** Lets workers in accounts of their own pull the services' image, by their starting roles. */
  #admitWorkers(settings: CredentialSettings): void {
    const elsewhere = KINDS.flatMap((kind) => {
      const { account } = settings[kind];
      return account ? [{ kind, account }] : [];
    });
    for (const { kind, account } of elsewhere) {
      const role = `role${PLATFORM_ROLE_PATH}strongroom-${workerService(kind)}-execution`;
      this.serviceImages.addToResourcePolicy(
        new PolicyStatement({
          sid: `Pull${kind}`,
          principals: [new AccountPrincipal(account)],
          actions: ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
          conditions: { ArnEquals: { "aws:PrincipalArn": `arn:${this.partition}:iam::${account}:${role}` } },
        }),
      );
    }
  }

  #images(id: string, repositoryName: string): Repository {
    const repository = new Repository(this, id, {
      repositoryName,
      imageScanOnPush: true,
      imageTagMutability: TagMutability.IMMUTABLE,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    repository.addLifecycleRule({ maxImageCount: KEEP_IMAGES });
    return repository;
  }
}

/** A statement of an endpoint policy, which limits the callers' own policies and grants nothing. */
function through(actions: string[], resources: string[], conditions?: Record<string, unknown>) {
  return new PolicyStatement({ principals: [new AnyPrincipal()], actions, resources, conditions });
}
