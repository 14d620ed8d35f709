import { type CfnPrivateDnsNamespace, PrivateDnsNamespace } from "aws-cdk-lib/aws-servicediscovery";
import type { Construct } from "constructs";
import type { Network } from "./network.ts";

/**
 * How long, in seconds, a resolver may cache that a name does not exist: a service that looks up another one before it
 * has started finds it soon after. AWS's default is 15 minutes or more.
 */
const NEGATIVE_TTL_SECONDS = 5;

/** A private DNS namespace of the VPC. */
export function privateNamespace(
  scope: Construct,
  id: string,
  { vpc }: Network,
  name: string,
): PrivateDnsNamespace {
  const namespace = new PrivateDnsNamespace(scope, id, { vpc, name });
  (namespace.node.defaultChild as CfnPrivateDnsNamespace).properties = {
    dnsProperties: { soa: { ttl: NEGATIVE_TTL_SECONDS } },
  };
  return namespace;
}
