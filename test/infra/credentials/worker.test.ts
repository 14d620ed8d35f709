import { describe, expect, test } from "vitest";
import { permissionFlags } from "../../../services/cli/platform/worker-flags.ts";
import { KINDS, type Kind, PURPOSES } from "../../../services/shared/work/kinds.ts";
import { readSettings as readWorkerSettings } from "../../../services/worker/config.ts";
import { isAllowed, roleOf } from "../iam.ts";
import { parameterArn } from "../org-battery.ts";
import { synthesize } from "../synthesized.ts";
import { containerOf, environmentOf } from "./containers.ts";
import { workerStack } from "./requests.ts";

const { deployment } = synthesize();

describe.each([...KINDS])("the worker of kind %s", (kind: Kind) => {
  const name = `worker-${kind}`;

  test("takes the settings that it is given: its own queues and its own key", () => {
    const settings = readWorkerSettings(environmentOf(deployment, name));
    const key = deployment
      .resources("AWS::KMS::Key")
      .find(({ stack, id }) => stack === workerStack(kind) && id.startsWith("Key"));
    expect(settings).toMatchObject({
      STRONGROOM_KIND: kind,
      STRONGROOM_QUEUES: `sqs:https://sqs.eu-central-1.amazonaws.com/123456789012/strongroom-${kind}-`,
      STRONGROOM_AWS_REGION: "eu-central-1",
    });
    expect(settings.STRONGROOM_KEY).toBe(key && `kms:${key.arn}`);
    expect(key === undefined).toBe(kind === "feed");
  });

  const listens = kind === "broker";

  test("is started with Node's permission model, and is given no secret and no file but the broker's", () => {
    const { Command, Secrets, Environment, PortMappings, StopTimeout } = containerOf(deployment, name);
    const grants = { code: ["/strongroom"], files: [], ...(listens && { copies: "/dev/shm/strongroom" }) };
    expect(Command).toEqual(["sh", "node", ...permissionFlags(grants), "services/worker/main.ts"]);
    expect(Secrets ?? []).toHaveLength(listens ? 3 : 0);
    expect(PortMappings ?? []).toEqual(listens ? [{ ContainerPort: 8240, Protocol: "tcp" }] : []);
    // Longer than a worker lets its jobs end.
    expect(StopTimeout).toBe(45);
    const files = Environment.filter(({ Name }: { Name: string }) => Name.startsWith("FILE_"));
    // The public keys that verify what the control plane publishes.
    expect(files).toHaveLength(listens ? 2 : 0);
  });

  const closedNetwork = () => {
    const of = (type: string) =>
      deployment.resources(type).filter(({ stack }) => stack === workerStack(kind));
    const groups = of("AWS::EC2::SecurityGroup");
    const workers = groups.find(({ id }) => id.includes("Workers"));
    expect(groups).toHaveLength(2);
    expect(workers?.properties.SecurityGroupIngress ?? []).toEqual([]);
    expect(workers?.properties.SecurityGroupEgress).toMatchObject([
      { CidrIp: "0.0.0.0/0", IpProtocol: "tcp", FromPort: 443, ToPort: 443 },
    ]);
    expect(of("AWS::EC2::SecurityGroupEgress")).toEqual([]);
    const into = of("AWS::EC2::SecurityGroupIngress");
    expect(
      into.map(({ id, properties }) => [id.startsWith("NetworkEndpoints"), properties.FromPort]),
    ).toEqual([[true, 443]]);
    const [service] = of("AWS::ECS::Service");
    const network = service?.properties.NetworkConfiguration.AwsvpcConfiguration;
    expect(network.AssignPublicIp).toBe("DISABLED");
    expect(network.SecurityGroups).toEqual([
      deployment.resolve(workerStack(kind), { "Fn::GetAtt": [workers?.id ?? "", "GroupId"] }),
    ]);
    expect(
      of("AWS::EC2::VPCPeeringConnection").length + of("AWS::EC2::TransitGatewayAttachment").length,
    ).toBe(0);
    expect(of("AWS::EC2::VPC")).toHaveLength(1);
    expect(service?.properties.EnableExecuteCommand ?? false).toBe(false);
  };
  // The broker's network has a door, which it is tested for below.
  if (!listens) {
    test("runs in a network that nothing leads into, and out of which only HTTPS leads", closedNetwork);
  }

  test("reaches its own queues and its own key by endpoints, and nothing else of them", () => {
    const endpoints = deployment
      .resources("AWS::EC2::VPCEndpoint")
      .filter(({ stack }) => stack === workerStack(kind))
      .filter(({ properties }) => properties.PolicyDocument)
      .map(({ properties }) => [
        properties.ServiceName.replace(/^com\.amazonaws\.eu-central-1\./, ""),
        properties.PolicyDocument.Statement[0].Resource,
      ]);
    const key = deployment
      .resources("AWS::KMS::Key")
      .find(({ stack, id }) => stack === workerStack(kind) && id.startsWith("Key"));
    expect(Object.fromEntries(endpoints)).toEqual({
      "ecr.api": "*",
      "ecr.dkr": "*",
      logs: "*",
      s3: "arn:aws:s3:::prod-eu-central-1-starport-layer-bucket/*",
      sqs: `arn:aws:sqs:eu-central-1:123456789012:strongroom-${kind}-*`,
      ...(key && { kms: key.arn }),
      ...(listens && {
        ssm: ["certificate.pem", "key.pem", "intake-certificate.pem"].map((file) =>
          parameterArn(`/strongroom/platform/worker-broker/${file}`),
        ),
      }),
    });
  });

  test("has queues that are encrypted, with dead letters of jobs alone, for as long as SQS keeps anything", () => {
    const queues = deployment.resources("AWS::SQS::Queue").filter(({ stack }) => stack === workerStack(kind));
    const named = Object.fromEntries(
      queues.map(({ arn, properties }) => [
        properties.QueueName.replace(`strongroom-${kind}-`, ""),
        { arn, properties },
      ]),
    );
    expect(Object.keys(named).toSorted()).toEqual(["jobs", "jobs-dead", "results"]);
    for (const { properties } of queues) {
      expect(properties).toMatchObject({ SqsManagedSseEnabled: true, MaximumMessageSize: 1024 * 1024 });
    }
    const { jobs, results, "jobs-dead": dead } = named;
    expect(jobs?.properties.RedrivePolicy).toEqual({ deadLetterTargetArn: dead?.arn, maxReceiveCount: 100 });
    expect(dead?.properties.RedriveAllowPolicy).toEqual({
      redrivePermission: "byQueue",
      sourceQueueArns: [jobs?.arn],
    });
    expect(dead?.properties.MessageRetentionPeriod).toBe(14 * 24 * 3600);
    expect(jobs?.properties.MessageRetentionPeriod).toBeLessThan(dead?.properties.MessageRetentionPeriod);
    // They are in clear.
    expect(results?.properties).not.toHaveProperty("RedrivePolicy");
    expect(results?.properties.MessageRetentionPeriod).toBe(24 * 3600);
    // As the worker's own default.
    for (const queue of [jobs, results]) expect(queue?.properties.VisibilityTimeout).toBe(60);
  });
});

describe("the workers' keys", () => {
  test("wait 30 days before they are deleted", () => {
    for (const purpose of PURPOSES) {
      const { properties } = deployment.resource(workerStack(purpose), "AWS::KMS::Key", "Key");
      expect(properties).toMatchObject({ EnableKeyRotation: true, PendingWindowInDays: 30 });
    }
  });
});

describe("the broker's network", () => {
  const stack = workerStack("broker");
  const of = (type: string) => deployment.resources(type).filter((each) => each.stack === stack);
  const groups = of("AWS::EC2::SecurityGroup");
  const idOf = (name: string) => {
    const found = groups.filter(({ id }) => id.startsWith(`Network${name}`));
    expect(found, name).toHaveLength(1);
    return String(deployment.resolve(stack, { "Fn::GetAtt": [found[0]?.id ?? "", "GroupId"] }));
  };
  const [loadBalancer] = of("AWS::ElasticLoadBalancingV2::LoadBalancer");

  test("is led into by one load balancer, on one port, which only endpoints of the intake's account reach", () => {
    const names = new Map(
      ["Workers", "Endpoints", "LoadBalancer", "Directory"].map((name) => [idOf(name), name] as const),
    );
    const into = of("AWS::EC2::SecurityGroupIngress").map(
      ({ properties }) =>
        `${names.get(properties.SourceSecurityGroupId)} → ${names.get(properties.GroupId)}:${properties.FromPort}`,
    );
    expect(into.toSorted()).toEqual([
      "LoadBalancer → Workers:8240",
      "Workers → Directory:8280",
      "Workers → Endpoints:443",
    ]);
    for (const { id, properties } of groups) expect(properties.SecurityGroupIngress ?? [], id).toEqual([]);
    expect(loadBalancer?.properties).toMatchObject({
      Type: "network",
      Scheme: "internal",
      SecurityGroups: [idOf("LoadBalancer")],
      EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: "off",
    });
    const [listener, ...others] = of("AWS::ElasticLoadBalancingV2::Listener");
    expect(listener?.properties).toMatchObject({ Port: 8240, Protocol: "TCP" });
    expect(others).toEqual([]);
    const [allowed] = of("AWS::EC2::VPCEndpointServicePermissions");
    expect(allowed?.properties.AllowedPrincipals).toEqual(["arn:aws:iam::123456789012:root"]);
  });

  test("leads out by HTTPS, and to what the control plane publishes", () => {
    const workers = groups.find(({ id }) => id.startsWith("NetworkWorkers"));
    expect(workers?.properties.SecurityGroupEgress).toMatchObject([
      { CidrIp: "0.0.0.0/0", IpProtocol: "tcp", FromPort: 443, ToPort: 443 },
    ]);
    const out = of("AWS::EC2::SecurityGroupEgress").map(({ properties }) => [
      properties.GroupId,
      properties.DestinationSecurityGroupId,
      properties.FromPort,
    ]);
    expect(out.toSorted()).toEqual(
      [
        [idOf("LoadBalancer"), idOf("Workers"), 8240],
        [idOf("Workers"), idOf("Directory"), 8280],
      ].toSorted(),
    );
    const directory = of("AWS::EC2::VPCEndpoint").filter(({ properties }) => !properties.PolicyDocument);
    const service = deployment.resource("StrongroomServices", "AWS::EC2::VPCEndpointService");
    expect(directory.map(({ properties }) => properties.ServiceName)).toEqual([
      `com.amazonaws.vpce.eu-central-1.${deployment.resolve(service.stack, { Ref: service.id })}`,
    ]);
    expect(of("AWS::EC2::VPC")).toHaveLength(1);
  });

  test("has its certificate and its key as SecureStrings, which its starting role alone reads", () => {
    const key = deployment.resource("StrongroomNetwork", "AWS::KMS::Key");
    const parameter = parameterArn("/strongroom/platform/worker-broker/key.pem");
    const open = {
      ...{ action: "kms:Decrypt", resource: key.arn, keyPolicy: key.properties.KeyPolicy },
      context: {
        "kms:ViaService": "ssm.eu-central-1.amazonaws.com",
        "kms:EncryptionContext:PARAMETER_ARN": parameter,
      },
    };
    const named = deployment
      .resources("AWS::IAM::Role")
      .flatMap(({ properties }) => properties.RoleName ?? []);
    const able = named.filter((name) => isAllowed(roleOf(deployment, name), open));
    expect(able).toEqual(["strongroom-worker-broker-execution"]);
  });
});
