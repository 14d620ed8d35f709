import { type IVpc, Peer, Port, SecurityGroup } from "aws-cdk-lib/aws-ec2";
import { Construct } from "constructs";
import { acknowledge } from "./acknowledge.ts";
import { BROKER_PORT, CLUSTER_PORT, CONTROL_PLANE_PORT, INTAKE_PORT, VAULT_PORT } from "./ports.ts";

/**
 * Allowed connections in the platform's network. All groups and all their rules are here, each connection listed once.
 * Any other is refused, including outgoing ones. The workers' networks are in credentials/worker-network.ts.
 */
export class SecurityGroups extends Construct {
  readonly loadBalancer: SecurityGroup;
  readonly gateway: SecurityGroup;
  readonly intakeLoadBalancer: SecurityGroup;
  readonly intake: SecurityGroup;
  /** Of the endpoint that leads to the broker's network. */
  readonly broker: SecurityGroup;
  /** Of the load balancer that leads from the broker's network to what the control plane publishes. */
  readonly directoryLoadBalancer: SecurityGroup;
  readonly controlPlane: SecurityGroup;
  readonly orgVaults: SecurityGroup;
  readonly internalVault: SecurityGroup;
  /** For the operator's task, which runs only on demand. */
  readonly operator: SecurityGroup;
  readonly endpoints: SecurityGroup;

  constructor(scope: Construct, id: string, vpc: IVpc) {
    super(scope, id);
    const group = (name: string, description: string) =>
      new SecurityGroup(this, name, { vpc, description, allowAllOutbound: false });
    this.loadBalancer = group("LoadBalancer", "Faces the internet, reaches the gateway and nothing else");
    this.gateway = group("Gateway", "Reaches Vaults of organizations, never the internal one");
    this.intakeLoadBalancer = group(
      "IntakeLoadBalancer",
      "Faces the internet, reaches the intake and nothing else",
    );
    this.intake = group("Intake", "Reaches no Vault, and of the workers the broker alone");
    this.broker = group("Broker", "The endpoint of the broker");
    this.directoryLoadBalancer = group(
      "DirectoryLoadBalancer",
      "Faces the broker, reaches the control plane",
    );
    this.controlPlane = group("ControlPlane", "Private");
    this.orgVaults = group("OrgVaults", "Vaults of organizations");
    this.internalVault = group("InternalVault", "Nodes of the internal Vault");
    this.operator = group("Operator", "The task of an operator, while it runs");
    this.endpoints = group("Endpoints", "Private endpoints of the AWS APIs");

    for (const entrance of [this.loadBalancer, this.intakeLoadBalancer]) {
      entrance.addIngressRule(Peer.anyIpv4(), Port.tcp(443), "HTTPS; there is no port 80");
      acknowledge(entrance, { EC23: "Only the two load balancers face the internet" });
    }
    allow(this.loadBalancer, this.gateway, VAULT_PORT, "requests of callers");
    allow(this.intakeLoadBalancer, this.intake, INTAKE_PORT, "requests of callers");
    allow(this.intake, this.controlPlane, CONTROL_PLANE_PORT, "the directory");
    allow(this.intake, this.broker, BROKER_PORT, "uses of credentials");
    allow(this.directoryLoadBalancer, this.controlPlane, CONTROL_PLANE_PORT, "the directory");
    allow(this.gateway, this.orgVaults, VAULT_PORT, "requests of callers");
    allow(this.gateway, this.controlPlane, CONTROL_PLANE_PORT, "the directory");
    allow(this.controlPlane, this.orgVaults, VAULT_PORT, "configuration and health");
    allow(this.controlPlane, this.internalVault, VAULT_PORT, "its own login");
    allow(this.orgVaults, this.internalVault, VAULT_PORT, "the seal");
    allow(this.internalVault, this.internalVault, CLUSTER_PORT, "standby to active");
    for (const [target, port] of [
      [this.internalVault, VAULT_PORT],
      [this.orgVaults, VAULT_PORT],
      [this.controlPlane, CONTROL_PLANE_PORT],
    ] as const) {
      allow(this.operator, target, port, "approved work of operators");
    }
    for (const client of [
      this.gateway,
      this.intake,
      this.controlPlane,
      this.orgVaults,
      this.internalVault,
      this.operator,
    ]) {
      this.endpoints.addIngressRule(client, Port.tcp(443), "AWS APIs");
      // S3 and DynamoDB have gateway endpoints, with addresses that only AWS knows. Vaults can reach nothing else by
      // this rule, since their subnets have no other route. The services fetch issuers' keys from the internet.
      client.addEgressRule(Peer.anyIpv4(), Port.tcp(443), "AWS APIs, keys of issuers");
    }
  }
}

/** Opens a port between two groups, on both sides, in the stack that has both. */
function allow(from: SecurityGroup, to: SecurityGroup, port: number, why: string): void {
  to.addIngressRule(from, Port.tcp(port), why);
  from.addEgressRule(to, Port.tcp(port), why);
}
