import { Duration, Fn } from "aws-cdk-lib";
import {
  InterfaceVpcEndpoint,
  InterfaceVpcEndpointService,
  type ISecurityGroup,
  type IVpc,
  type SubnetSelection,
  VpcEndpointService,
} from "aws-cdk-lib/aws-ec2";
import type { FargateService } from "aws-cdk-lib/aws-ecs";
import {
  NetworkLoadBalancer,
  NetworkTargetGroup,
  Protocol,
  TargetType,
} from "aws-cdk-lib/aws-elasticloadbalancingv2";
import { ArnPrincipal } from "aws-cdk-lib/aws-iam";
import { Construct } from "constructs";
import { acknowledge } from "./acknowledge.ts";

export interface PrivateEntranceOptions {
  vpc: IVpc;
  subnets: SubnetSelection;
  /** Of its load balancer; without ingress, since only the endpoints of other networks lead to it. */
  securityGroup: ISecurityGroup;
  port: number;
  service: FargateService;
  /** The account whose networks may have an endpoint of it. */
  consumer: string;
  isProtected: boolean;
}

/**
 * An entrance from another network, by PrivateLink: one TCP port of one service, and no way back. Connections pass as
 * they are, so TLS ends at the service.
 */
export class PrivateEntrance extends Construct {
  /** By which another network makes its endpoint. */
  readonly serviceName: string;

  constructor(scope: Construct, id: string, options: PrivateEntranceOptions) {
    super(scope, id);
    const { vpc, port, service } = options;
    const loadBalancer = new NetworkLoadBalancer(this, "LoadBalancer", {
      vpc,
      vpcSubnets: options.subnets,
      internetFacing: false,
      crossZoneEnabled: true,
      deletionProtection: options.isProtected,
      securityGroups: [options.securityGroup],
      // Otherwise the group would have to admit the other network's addresses, which are not known here.
      enforceSecurityGroupInboundRulesOnPrivateLinkTraffic: false,
    });
    acknowledge(loadBalancer, { ELB2: "A network load balancer logs only TLS that it ends itself" });
    const targets = new NetworkTargetGroup(this, "Targets", {
      vpc,
      targetType: TargetType.IP,
      port,
      protocol: Protocol.TCP,
      preserveClientIp: false,
      deregistrationDelay: Duration.seconds(30),
      healthCheck: { protocol: Protocol.TCP, interval: Duration.seconds(10) },
    });
    service.attachToNetworkTargetGroup(targets);
    loadBalancer.addListener("Tcp", { port, protocol: Protocol.TCP, defaultTargetGroups: [targets] });
    this.serviceName = new VpcEndpointService(this, "Service", {
      vpcEndpointServiceLoadBalancers: [loadBalancer],
      acceptanceRequired: false,
      allowedPrincipals: [new ArnPrincipal(`arn:aws:iam::${options.consumer}:root`)],
    }).vpcEndpointServiceName;
  }
}

/** An endpoint of a {@link PrivateEntrance} of another network. Returns its DNS name, which resolves everywhere. */
export function privateEndpoint(
  scope: Construct,
  id: string,
  options: {
    vpc: IVpc;
    subnets: SubnetSelection;
    securityGroup: ISecurityGroup;
    serviceName: string;
    port: number;
  },
): string {
  const { vpc, subnets, securityGroup, serviceName, port } = options;
  const endpoint = new InterfaceVpcEndpoint(scope, id, {
    vpc,
    subnets,
    service: new InterfaceVpcEndpointService(serviceName, port),
    securityGroups: [securityGroup],
    open: false,
    privateDnsEnabled: false,
  });
  // Each entry is `<hosted zone>:<name>`; the first is the one of all zones.
  return Fn.select(1, Fn.split(":", Fn.select(0, endpoint.vpcEndpointDnsEntries)));
}
