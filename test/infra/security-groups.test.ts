import { describe, expect, test } from "vitest";
import { synthesize } from "./synthesized.ts";

const { deployment } = synthesize();
const NETWORK = "StrongroomNetwork";
const NAMES = [
  "LoadBalancer",
  "Gateway",
  "IntakeLoadBalancer",
  "Intake",
  "Broker",
  "DirectoryLoadBalancer",
  "ControlPlane",
  "OrgVaults",
  "InternalVault",
  "Operator",
  "Endpoints",
];

/** The ids of groups end in a hash of eight characters; one name may begin another. */
const groupOf = (name: string) => {
  const id = new RegExp(`^Reach${name}[0-9A-F]{8}$`);
  const found = deployment
    .resources("AWS::EC2::SecurityGroup")
    .filter((each) => each.stack === NETWORK && id.test(each.id));
  if (!found[0] || found.length > 1) throw new Error(`there are ${found.length} groups ${name}`);
  return found[0];
};

/** `from → to:port`, where `internet` is any address. */
function ways(direction: "ingress" | "egress"): string[] {
  const groups = new Map(
    NAMES.map((name) => {
      const { properties, stack, id } = groupOf(name);
      const groupId = String(deployment.resolve(stack, { "Fn::GetAtt": [id, "GroupId"] }));
      return [groupId, { name, properties }] as const;
    }),
  );
  const nameOf = (id: string) => groups.get(id)?.name ?? id;
  const lists = { ingress: "SecurityGroupIngress", egress: "SecurityGroupEgress" } as const;
  const inline = [...groups.values()].flatMap(({ name, properties }) =>
    // biome-ignore lint/suspicious/noExplicitAny: CloudFormation's own form
    (properties[lists[direction]] ?? []).map((rule: any) => ({ ...rule, of: name })),
  );
  const apart = deployment
    .resources(direction === "ingress" ? "AWS::EC2::SecurityGroupIngress" : "AWS::EC2::SecurityGroupEgress")
    .filter(({ stack }) => stack === NETWORK)
    .map(({ properties }) => ({ ...properties, of: nameOf(properties.GroupId) }));
  return [...inline, ...apart].map((rule) => {
    const other =
      rule.CidrIp === "0.0.0.0/0"
        ? "internet"
        : nameOf(rule.SourceSecurityGroupId ?? rule.DestinationSecurityGroupId ?? rule.CidrIp);
    const port = rule.FromPort === rule.ToPort ? rule.FromPort : `${rule.FromPort}-${rule.ToPort}`;
    return direction === "ingress" ? `${other} → ${rule.of}:${port}` : `${rule.of} → ${other}:${port}`;
  });
}

describe("who reaches whom", () => {
  const into = ways("ingress");
  const out = ways("egress").filter((way) => !way.startsWith("internet"));

  test("is exactly this", () => {
    const services = ["Gateway", "Intake", "ControlPlane", "OrgVaults", "InternalVault", "Operator"];
    expect(into.toSorted()).toEqual(
      [
        "internet → LoadBalancer:443",
        "LoadBalancer → Gateway:8200",
        "internet → IntakeLoadBalancer:443",
        "IntakeLoadBalancer → Intake:8220",
        "Intake → ControlPlane:8280",
        "Intake → Broker:8240",
        "DirectoryLoadBalancer → ControlPlane:8280",
        "Gateway → OrgVaults:8200",
        "Gateway → ControlPlane:8280",
        "ControlPlane → OrgVaults:8200",
        "ControlPlane → InternalVault:8200",
        "OrgVaults → InternalVault:8200",
        "InternalVault → InternalVault:8201",
        "Operator → InternalVault:8200",
        "Operator → OrgVaults:8200",
        "Operator → ControlPlane:8280",
        ...services.map((name) => `${name} → Endpoints:443`),
      ].toSorted(),
    );
  });

  test("is said on both sides, and nothing else goes out but HTTPS", () => {
    const https = out.filter((way) => way.endsWith("internet:443"));
    expect(https.map((way) => way.split(" ")[0])).not.toContain("LoadBalancer");
    expect(https.map((way) => way.split(" ")[0])).not.toContain("IntakeLoadBalancer");
    expect(https.map((way) => way.split(" ")[0])).not.toContain("DirectoryLoadBalancer");
    const inside = into.filter((way) => !way.startsWith("internet") && !way.endsWith("Endpoints:443"));
    // What CDK writes where a group has no way out: an address that is nobody's.
    const nowhere = out.filter((way) => way.includes("255.255.255.255/32"));
    expect(nowhere.toSorted()).toEqual([
      "Broker → 255.255.255.255/32:252-86",
      "Endpoints → 255.255.255.255/32:252-86",
    ]);
    expect(out.filter((way) => !https.includes(way) && !nowhere.includes(way)).toSorted()).toEqual(
      inside.toSorted(),
    );
  });
});

describe("Vaults' subnets", () => {
  const inNetwork = (type: string) => deployment.resources(type).filter(({ stack }) => stack === NETWORK);
  const subnets = inNetwork("AWS::EC2::Subnet");
  const vaults = subnets.filter(({ id }) => id.includes("vaults"));
  const routeTables = deployment
    .resources("AWS::EC2::SubnetRouteTableAssociation")
    .filter(({ id }) => id.includes("vaults"))
    .map(({ properties }) => properties.RouteTableId);

  test("lie in three zones, and have no way to or from the internet", () => {
    expect(new Set(vaults.map(({ properties }) => properties.AvailabilityZone)).size).toBe(3);
    expect(routeTables.length).toBe(3);
    const leading = inNetwork("AWS::EC2::Route")
      .filter(({ properties }) => properties.DestinationCidrBlock === "0.0.0.0/0")
      .map(({ properties }) => properties.RouteTableId);
    expect(leading.length).toBe(6);
    expect(routeTables.filter((table) => leading.includes(table))).toEqual([]);
  });

  test("are where all Vaults run; no task has a public address", () => {
    const ids = vaults.map(({ stack, id }) => deployment.resolve(stack, { Ref: id }));
    const services = deployment.resources("AWS::ECS::Service");
    const internal = services.find(({ properties }) => properties.ServiceName === "internal-vault");
    expect(internal?.properties.NetworkConfiguration.AwsvpcConfiguration.Subnets).toEqual(ids);
    for (const { properties } of services) {
      expect(properties.NetworkConfiguration.AwsvpcConfiguration.AssignPublicIp).toBe("DISABLED");
    }
    for (const { properties } of subnets) expect(properties.MapPublicIpOnLaunch).toBe(false);
  });

  test("reach the AWS APIs by endpoints", () => {
    const names = inNetwork("AWS::EC2::VPCEndpoint").map(({ properties }) =>
      properties.ServiceName.replace(/^com\.amazonaws\.eu-central-1\./, ""),
    );
    expect(names.toSorted()).toEqual(["dynamodb", "ecr.api", "ecr.dkr", "kms", "logs", "s3", "sqs", "ssm"]);
  });
});
