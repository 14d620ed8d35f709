import { Duration } from "aws-cdk-lib";
import type { ICertificate } from "aws-cdk-lib/aws-certificatemanager";
import { type ISecurityGroup, type IVpc, SubnetType } from "aws-cdk-lib/aws-ec2";
import type { FargateService } from "aws-cdk-lib/aws-ecs";
import {
  type ApplicationListener,
  ApplicationLoadBalancer,
  ApplicationProtocol,
  ApplicationTargetGroup,
  type CfnListener,
  DesyncMitigationMode,
  SslPolicy,
  TargetType,
  XffHeaderProcessingMode,
} from "aws-cdk-lib/aws-elasticloadbalancingv2";
import { CfnWebACL, CfnWebACLAssociation } from "aws-cdk-lib/aws-wafv2";
import { Construct } from "constructs";
import { accessLogBucket } from "./buckets.ts";

const ONE_YEAR_SECONDS = 365 * 24 * 3600;

export interface PublicEntranceOptions {
  vpc: IVpc;
  securityGroup: ISecurityGroup;
  certificate: ICertificate;
  /** Maximum number of requests from one address in five minutes. */
  requestsPerAddress: number;
  /** Whether AWS refuses to delete the load balancer. */
  isProtected: boolean;
  /** Name of WAF's metrics, and beginning of its rule's. */
  metricName: string;
}

/** The service that an entrance leads to. */
export interface Target {
  name: string;
  port: number;
  /** Answers 200 once the service may be sent requests. */
  healthPath: string;
}

/**
 * An entrance from the internet: HTTPS with TLS 1.2 or later, HSTS, and a rate limit by address. There is no port 80: a token sent in clear text would be exposed before any redirect. WAF logs no requests, since their headers
 * contain tokens, and inspects no body, since that is a secret and may look like anything.
 */
export class PublicEntrance extends Construct {
  readonly loadBalancer: ApplicationLoadBalancer;
  readonly webAcl: CfnWebACL;
  readonly #listener: ApplicationListener;
  readonly #vpc: IVpc;

  constructor(scope: Construct, id: string, options: PublicEntranceOptions) {
    super(scope, id);
    const { vpc, securityGroup, certificate } = options;
    this.#vpc = vpc;
    this.loadBalancer = new ApplicationLoadBalancer(this, "LoadBalancer", {
      vpc,
      vpcSubnets: { subnetType: SubnetType.PUBLIC },
      internetFacing: true,
      securityGroup,
      deletionProtection: options.isProtected,
      dropInvalidHeaderFields: true,
      desyncMitigationMode: DesyncMitigationMode.STRICTEST,
      // The gateway uses the last address in X-Forwarded-For, which is the one appended here.
      xffHeaderProcessingMode: XffHeaderProcessingMode.APPEND,
    });
    this.loadBalancer.logAccessLogs(accessLogBucket(this, "AccessLog"));
    this.#listener = this.loadBalancer.addListener("Https", {
      port: 443,
      protocol: ApplicationProtocol.HTTPS,
      certificates: [certificate],
      sslPolicy: SslPolicy.RECOMMENDED_TLS,
      open: false,
    });
    (this.#listener.node.defaultChild as CfnListener).listenerAttributes = [
      {
        key: "routing.http.response.strict_transport_security.header_value",
        value: `max-age=${ONE_YEAR_SECONDS}; includeSubDomains`,
      },
      { key: "routing.http.response.server.enabled", value: "false" },
    ];
    this.webAcl = this.#limit(options);
  }

  /** Forwards requests to one service. The rules of its security groups are in security-groups.ts. */
  forwardTo(service: FargateService, target: Target): void {
    const group = new ApplicationTargetGroup(this, "Targets", {
      vpc: this.#vpc,
      targetType: TargetType.IP,
      port: target.port,
      protocol: ApplicationProtocol.HTTP,
      deregistrationDelay: Duration.seconds(15),
      healthCheck: {
        path: target.healthPath,
        interval: Duration.seconds(10),
        timeout: Duration.seconds(5),
        healthyThresholdCount: 2,
        unhealthyThresholdCount: 2,
      },
    });
    service.attachToApplicationTargetGroup(group);
    this.#listener.addTargetGroups(target.name, { targetGroups: [group] });
  }

  #limit({ requestsPerAddress, metricName: name }: PublicEntranceOptions): CfnWebACL {
    const visibility = (metricName: string) => ({
      metricName,
      cloudWatchMetricsEnabled: true,
      sampledRequestsEnabled: false,
    });
    const webAcl = new CfnWebACL(this, "WebAcl", {
      scope: "REGIONAL",
      defaultAction: { allow: {} },
      visibilityConfig: visibility(name),
      rules: [
        {
          name: "rate",
          priority: 0,
          action: { block: { customResponse: { responseCode: 429 } } },
          statement: { rateBasedStatement: { limit: requestsPerAddress, aggregateKeyType: "IP" } },
          visibilityConfig: visibility(`${name}-rate`),
        },
      ],
    });
    new CfnWebACLAssociation(this, "WebAclOfLoadBalancer", {
      resourceArn: this.loadBalancer.loadBalancerArn,
      webAclArn: webAcl.attrArn,
    });
    return webAcl;
  }
}
