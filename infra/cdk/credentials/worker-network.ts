import { RemovalPolicy, Stack } from "aws-cdk-lib";
import {
  FlowLogDestination,
  GatewayVpcEndpointAwsService,
  InterfaceVpcEndpointAwsService,
  IpAddresses,
  Peer,
  Port,
  SecurityGroup,
  SubnetType,
  Vpc,
} from "aws-cdk-lib/aws-ec2";
import { AnyPrincipal, PolicyStatement } from "aws-cdk-lib/aws-iam";
import { LogGroup, RetentionDays } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";
import { CONTROL_PLANE_PORT } from "../ports.ts";

export interface WorkerNetworkOptions {
  zones: string[];
  natGateways: number;
  /** Pattern of its own queues' ARNs. */
  queueArns: string;
  /** Its own key; a kind without one has no way to KMS. */
  keyArn: string | undefined;
  /** For the kind that listens. */
  listener?: { port: number; parameterArns: string[] };
}

/**
 * A network for one kind of worker and nothing else, connected to no other one. Nothing leads in. Out leads only HTTPS:
 * through NAT to destinations, and through private endpoints, bound to its own queues and key, to the AWS APIs. A kind
 * that listens has, beside, one port that its load balancer leads to, and a way to what verifies callers.
 */
export class WorkerNetwork extends Construct {
  readonly vpc: Vpc;
  readonly workers: SecurityGroup;
  /** Of a kind that listens: its load balancer, and the endpoint that leads to what the control plane publishes. */
  readonly listener: { loadBalancer: SecurityGroup; directory: SecurityGroup } | undefined;

  constructor(scope: Construct, id: string, options: WorkerNetworkOptions) {
    super(scope, id);
    this.vpc = new Vpc(this, "Vpc", {
      availabilityZones: options.zones,
      natGateways: options.natGateways,
      ipAddresses: IpAddresses.cidr("10.65.0.0/20"),
      restrictDefaultSecurityGroup: false,
      subnetConfiguration: [
        { name: "nat", subnetType: SubnetType.PUBLIC, cidrMask: 26, mapPublicIpOnLaunch: false },
        { name: "workers", subnetType: SubnetType.PRIVATE_WITH_EGRESS, cidrMask: 24 },
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
    const group = (name: string, description: string) =>
      new SecurityGroup(this, name, { vpc: this.vpc, description, allowAllOutbound: false });
    const { listener } = options;
    this.workers = group("Workers", listener ? "Reached by the intake" : "Reached by nobody");
    const endpoints = group("Endpoints", "Private endpoints of the AWS APIs");
    // A destination has any public address: the worker itself refuses those that are not public.
    this.workers.addEgressRule(Peer.anyIpv4(), Port.tcp(443), "destinations, AWS APIs");
    endpoints.addIngressRule(this.workers, Port.tcp(443), "AWS APIs");
    this.listener = listener && this.#listener(listener.port, group);
    this.#endpoints(endpoints, options);
  }

  #listener(port: number, group: (name: string, description: string) => SecurityGroup) {
    const loadBalancer = group("LoadBalancer", "Faces the intake, reaches the workers");
    const directory = group("Directory", "The endpoint of what the control plane publishes");
    loadBalancer.addEgressRule(this.workers, Port.tcp(port), "uses of credentials");
    this.workers.addIngressRule(loadBalancer, Port.tcp(port), "uses of credentials");
    this.workers.addEgressRule(directory, Port.tcp(CONTROL_PLANE_PORT), "the directory");
    directory.addIngressRule(this.workers, Port.tcp(CONTROL_PLANE_PORT), "the directory");
    return { loadBalancer, directory };
  }

  #endpoints(securityGroup: SecurityGroup, { queueArns, keyArn, listener }: WorkerNetworkOptions): void {
    const { account, partition, region } = Stack.of(this);
    const own = { StringEquals: { "aws:PrincipalAccount": account } };
    const { ECR, ECR_DOCKER, CLOUDWATCH_LOGS, SQS, KMS, SSM } = InterfaceVpcEndpointAwsService;
    const services = [
      { name: "ECR", service: ECR, statement: through(["*"], ["*"], own) },
      { name: "ECR_DOCKER", service: ECR_DOCKER, statement: through(["*"], ["*"], own) },
      { name: "CLOUDWATCH_LOGS", service: CLOUDWATCH_LOGS, statement: through(["*"], ["*"], own) },
      { name: "SQS", service: SQS, statement: through(["sqs:*"], [queueArns], own) },
      ...(keyArn
        ? [
            {
              name: "KMS",
              service: KMS,
              statement: through(["kms:Decrypt", "kms:GenerateDataKey"], [keyArn], own),
            },
          ]
        : []),
      ...(listener
        ? [
            {
              name: "SSM",
              service: SSM,
              statement: through(["ssm:GetParameters"], listener.parameterArns, own),
            },
          ]
        : []),
    ];
    for (const { name, service, statement } of services) {
      this.vpc
        .addInterfaceEndpoint(name, { service, securityGroups: [securityGroup], open: false })
        .addToPolicy(statement);
    }
    // Image layers are in a bucket that AWS owns, and nothing else of S3 is needed.
    const layers = `arn:${partition}:s3:::prod-${region}-starport-layer-bucket/*`;
    this.vpc
      .addGatewayEndpoint("S3", { service: GatewayVpcEndpointAwsService.S3 })
      .addToPolicy(through(["s3:GetObject"], [layers]));
  }
}

/** A statement of an endpoint policy, which limits the callers' own policies and grants nothing. */
function through(actions: string[], resources: string[], conditions?: Record<string, unknown>) {
  return new PolicyStatement({ principals: [new AnyPrincipal()], actions, resources, conditions });
}
