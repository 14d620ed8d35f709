import { describe, expect, test } from "vitest";
import { permissionFlags } from "../../../services/cli/platform/worker-flags.ts";
import { KINDS, type Kind } from "../../../services/shared/work/kinds.ts";
import { readSettings as readWorkerSettings } from "../../../services/worker/config.ts";
import { synthesize } from "../synthesized.ts";
import { containerOf, environmentOf } from "./containers.ts";
import { workerStack } from "./requests.ts";

const { deployment } = synthesize();

describe.each([...KINDS])("the worker of kind %s", (kind: Kind) => {
  const name = `worker-${kind}`;

  test("takes the settings that it is given: its own queues and its own key", () => {
    const settings = readWorkerSettings(environmentOf(deployment, name));
    const key = deployment.resources("AWS::KMS::Key").find(({ stack }) => stack === workerStack(kind));
    expect(settings).toMatchObject({
      STRONGROOM_KIND: kind,
      STRONGROOM_QUEUES: `sqs:https://sqs.eu-central-1.amazonaws.com/123456789012/strongroom-${kind}-`,
      STRONGROOM_AWS_REGION: "eu-central-1",
    });
    expect(settings.STRONGROOM_KEY).toBe(key && `kms:${key.arn}`);
    expect(key === undefined).toBe(kind === "feed");
  });

  test("is started with Node's permission model, and is given no secret and no file", () => {
    const { Command, Secrets, Environment, PortMappings, StopTimeout } = containerOf(deployment, name);
    const flags = permissionFlags({ code: ["/strongroom"], files: [] });
    expect(Command).toEqual(["sh", "node", ...flags, "services/worker/main.ts"]);
    expect(Secrets ?? []).toEqual([]);
    expect(PortMappings ?? []).toEqual([]);
    // Longer than a worker lets its jobs end.
    expect(StopTimeout).toBe(45);
    expect(Environment.filter(({ Name }: { Name: string }) => Name.startsWith("FILE_"))).toEqual([]);
  });

  test("runs in a network that nothing leads into, and out of which only HTTPS leads", () => {
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
  });

  test("reaches its own queues and its own key by endpoints, and nothing else of them", () => {
    const endpoints = deployment
      .resources("AWS::EC2::VPCEndpoint")
      .filter(({ stack }) => stack === workerStack(kind))
      .map(({ properties }) => [
        properties.ServiceName.replace(/^com\.amazonaws\.eu-central-1\./, ""),
        properties.PolicyDocument.Statement[0].Resource,
      ]);
    const key = deployment.resources("AWS::KMS::Key").find(({ stack }) => stack === workerStack(kind));
    expect(Object.fromEntries(endpoints)).toEqual({
      "ecr.api": "*",
      "ecr.dkr": "*",
      logs: "*",
      s3: "arn:aws:s3:::prod-eu-central-1-starport-layer-bucket/*",
      sqs: `arn:aws:sqs:eu-central-1:123456789012:strongroom-${kind}-*`,
      ...(key && { kms: key.arn }),
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
    for (const purpose of ["integration", "webhook"]) {
      const { properties } = deployment.resource(workerStack(purpose), "AWS::KMS::Key");
      expect(properties).toMatchObject({ EnableKeyRotation: true, PendingWindowInDays: 30 });
    }
  });
});
