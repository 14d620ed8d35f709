import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readSettings } from "../../infra/cdk/settings.ts";
import { STORE_TABLE } from "../../services/intake/store/table.ts";
import { KINDS, type Kind } from "../../services/shared/work/kinds.ts";
import { readSettings as readWorkerSettings } from "../../services/worker/config.ts";
import { permissionFlags } from "../../services/worker/permission-flags.ts";
import { workerStack } from "./credential-requests.ts";
import type { Deployment } from "./deployment.ts";
import { type PolicyDocument, roleOf } from "./iam.ts";
import { apart, beforeTheKey, FEED_ACCOUNT, WORKERS_ACCOUNT } from "./several-accounts.ts";
import { givenSettings, synthesize } from "./synthesized.ts";

const { deployment } = synthesize();

const containerOf = (of: Deployment, name: string) =>
  of
    .resources("AWS::ECS::TaskDefinition")
    .map(({ properties }) => properties.ContainerDefinitions[0])
    .find(({ Name }) => Name === name);

const environmentOf = (of: Deployment, name: string): Record<string, string> =>
  Object.fromEntries(
    containerOf(of, name).Environment.map(({ Name, Value }: { Name: string; Value: string }) => [
      Name,
      Value,
    ]),
  );

const actionsOf = (roleName: string, service: string, of = deployment) => [
  ...new Set(
    (roleOf(of, roleName).policies as PolicyDocument[])
      .flatMap(({ Statement }) => Statement.filter(({ Effect }) => Effect === "Allow"))
      .flatMap(({ Action = [] }) => Action)
      .filter((action) => action.startsWith(`${service}:`))
      .map((action) => action.slice(service.length + 1)),
  ),
];

const commandsIn = (...files: string[]) => [
  ...new Set(
    files.flatMap((file) =>
      [
        ...readFileSync(new URL(`../../services/${file}`, import.meta.url), "utf8").matchAll(
          /new (\w+)Command\(/g,
        ),
      ].map(([, command = ""]) => command.replace(/Batch$/, "")),
    ),
  ),
];

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
    const { Command, Secrets, Environment, PortMappings } = containerOf(deployment, name);
    const flags = permissionFlags({ code: ["/strongroom"], files: [] });
    expect(Command).toEqual(["sh", "node", ...flags, "services/worker/main.ts"]);
    expect(Secrets ?? []).toEqual([]);
    expect(PortMappings ?? []).toEqual([]);
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

  test("has queues that are encrypted, with dead letters that are kept for as long as SQS keeps anything", () => {
    const queues = deployment.resources("AWS::SQS::Queue").filter(({ stack }) => stack === workerStack(kind));
    const named = Object.fromEntries(
      queues.map(({ arn, properties }) => [
        properties.QueueName.replace(`strongroom-${kind}-`, ""),
        { arn, properties },
      ]),
    );
    expect(Object.keys(named).toSorted()).toEqual(["jobs", "jobs-dead", "results", "results-dead"]);
    for (const { properties } of queues) {
      expect(properties).toMatchObject({ SqsManagedSseEnabled: true, MaximumMessageSize: 1024 * 1024 });
    }
    for (const name of ["jobs", "results"]) {
      const [live, dead] = [named[name], named[`${name}-dead`]];
      expect(live?.properties.RedrivePolicy).toEqual({
        deadLetterTargetArn: dead?.arn,
        maxReceiveCount: 100,
      });
      expect(dead?.properties.RedriveAllowPolicy).toEqual({
        redrivePermission: "byQueue",
        sourceQueueArns: [live?.arn],
      });
      expect(dead?.properties.MessageRetentionPeriod).toBe(14 * 24 * 3600);
      expect(live?.properties.MessageRetentionPeriod).toBeLessThan(dead?.properties.MessageRetentionPeriod);
      // As the worker's own default.
      expect(live?.properties.VisibilityTimeout).toBe(60);
    }
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

describe("the intake", () => {
  const environment = environmentOf(deployment, "intake");

  test("is given the workers' keys and queues, its table, and the one port that leads out of their networks", () => {
    const prefix = "sqs:https://sqs.eu-central-1.amazonaws.com/123456789012/strongroom-";
    expect(environment).toMatchObject({
      STRONGROOM_LISTEN: "0.0.0.0:8220",
      STRONGROOM_STORE: "dynamodb:strongroom-intake",
      STRONGROOM_DESTINATION_PORTS: "443",
      STRONGROOM_INTEGRATION_QUEUES: `${prefix}integration-`,
      STRONGROOM_WEBHOOK_QUEUES: `${prefix}webhook-`,
      STRONGROOM_FEED_QUEUES: `${prefix}feed-`,
      STRONGROOM_BEHIND_PROXY: "true",
    });
    for (const purpose of ["integration", "webhook"]) {
      const worker = environmentOf(deployment, `worker-${purpose}`);
      expect(environment[`STRONGROOM_${purpose.toUpperCase()}_KEY`]).toBe(worker.STRONGROOM_KEY);
      expect(environment[`STRONGROOM_${purpose.toUpperCase()}_QUEUES`]).toBe(worker.STRONGROOM_QUEUES);
    }
    expect(containerOf(deployment, "intake").Secrets ?? []).toEqual([]);
  });

  test("has the table that its store expects, encrypted by a customer key and recoverable for 35 days", () => {
    const table = deployment.resource("StrongroomIntake", "AWS::DynamoDB::Table");
    const key = deployment.resource("StrongroomIntake", "AWS::KMS::Key");
    expect(table.properties).toMatchObject({
      TableName: "strongroom-intake",
      KeySchema: [
        { AttributeName: STORE_TABLE.partitionKey, KeyType: "HASH" },
        { AttributeName: STORE_TABLE.sortKey, KeyType: "RANGE" },
      ],
      TimeToLiveSpecification: { AttributeName: STORE_TABLE.timeToLive, Enabled: true },
      PointInTimeRecoverySpecification: {
        PointInTimeRecoveryEnabled: STORE_TABLE.pointInTimeRecovery,
        RecoveryPeriodInDays: 35,
      },
      SSESpecification: { SSEEnabled: true, SSEType: "KMS", KMSMasterKeyId: key.arn },
    });
  });

  test("may do on its table what its store calls, and no more", () => {
    const calls = commandsIn("intake/store/dynamodb.ts").filter((call) => call !== "TransactWriteItems");
    // A transaction updates and deletes.
    expect(actionsOf("strongroom-intake", "dynamodb").toSorted()).toEqual(
      [...calls, "DeleteItem"].toSorted(),
    );
  });

  test("and the workers may do on queues what their code calls", () => {
    const calls = commandsIn(
      "shared/queue/sqs.ts",
      "shared/queue/sqs-consumption.ts",
      "shared/queue/sqs-receiver.ts",
    );
    expect(calls.length).toBeGreaterThanOrEqual(3);
    for (const name of ["strongroom-intake", "strongroom-worker-feed"]) {
      expect(actionsOf(name, "sqs")).toEqual(expect.arrayContaining([...calls, "ReceiveMessage"]));
    }
    const redrive = commandsIn("shared/queue/sqs-dead-letters.ts");
    expect(actionsOf("strongroom-redrive-feed", "sqs")).toEqual(expect.arrayContaining(redrive));
  });
});

describe("workers in accounts of their own", () => {
  test("have everything of theirs there, and the intake finds it", () => {
    const intake = environmentOf(apart, "intake");
    const worker = environmentOf(apart, "worker-integration");
    const url = `sqs:https://sqs.eu-central-1.amazonaws.com/${WORKERS_ACCOUNT}/strongroom-integration-`;
    expect(worker.STRONGROOM_QUEUES).toBe(url);
    expect(intake.STRONGROOM_INTEGRATION_QUEUES).toBe(url);
    expect(intake.STRONGROOM_INTEGRATION_KEY).toBe(worker.STRONGROOM_KEY);
    expect(worker.STRONGROOM_KEY).toContain(`:${WORKERS_ACCOUNT}:key/`);
    expect(intake.STRONGROOM_FEED_QUEUES).toContain(`/${FEED_ACCOUNT}/strongroom-feed-`);
    expect(containerOf(apart, "worker-integration").Image).toMatch(/^123456789012\.dkr\.ecr\./);
  });

  test("refer to no other stack, in either direction", () => {
    const text = JSON.stringify(
      ["StrongroomWorkerIntegration", "StrongroomWorkerFeed"].map((stack) => apart.templates[stack]),
    );
    expect(text).not.toContain("Fn::ImportValue");
    for (const stack of ["StrongroomWorkerIntegration", "StrongroomWorkerFeed"]) {
      const exported = Object.values(apart.templates[stack]?.Outputs ?? {}).filter(({ Export }) => Export);
      expect(exported).toEqual([]);
    }
  });

  test("come first: the intake's stack is there once the settings name the key", () => {
    expect(Object.keys(beforeTheKey.templates)).toContain("StrongroomWorkerIntegration");
    expect(Object.keys(beforeTheKey.templates)).not.toContain("StrongroomIntake");
    expect(Object.keys(apart.templates)).toContain("StrongroomIntake");
    const { KeyArn } = beforeTheKey.templates.StrongroomWorkerIntegration?.Outputs ?? {};
    expect(beforeTheKey.resolve("StrongroomWorkerIntegration", KeyArn?.Value ?? null)).toBe(
      apart.resource("StrongroomWorkerIntegration", "AWS::KMS::Key").arn,
    );
  });
});

describe("the settings of credentials", () => {
  const intakeRoleArn = "arn:aws:iam::123456789012:role/strongroom/platform/strongroom-intake";
  const keyArn = `arn:aws:kms:eu-central-1:${WORKERS_ACCOUNT}:key/00000000-0000-0000-0000-000000000000`;

  test("have defaults: all in one account", () => {
    expect(readSettings({ ...givenSettings(), credentials: undefined }).credentials).toEqual({
      intakes: 2,
      integration: { tasks: 2, natGateways: 3 },
      webhook: { tasks: 2, natGateways: 3 },
      feed: { tasks: 2, natGateways: 3 },
    });
  });

  test("are complete with an account, the intake's role and a key", () => {
    const credentials = {
      intakeRoleArn,
      integration: { account: WORKERS_ACCOUNT, keyArn },
      webhook: { tasks: 1 },
    };
    expect(readSettings({ ...givenSettings(), credentials }).credentials).toMatchObject(credentials);
  });

  test.each([
    [
      "an account without the intake's role",
      { feed: { account: FEED_ACCOUNT } },
      "set credentials/intakeRoleArn",
    ],
    ["the intake's own account", { intakeRoleArn, feed: { account: "123456789012" } }, "own account"],
    ["a key without an account", { intakeRoleArn, webhook: { keyArn } }, "webhook/keyArn: set it only"],
    [
      "a key of another account",
      { intakeRoleArn, webhook: { account: FEED_ACCOUNT, keyArn } },
      `its account is not ${FEED_ACCOUNT}`,
    ],
    ["a key for feeds", { intakeRoleArn, feed: { account: FEED_ACCOUNT, keyArn } }, "keyArn"],
    ["another role", { intakeRoleArn: "arn:aws:iam::123456789012:role/Other" }, "/credentials/intakeRoleArn"],
    ["a broker", { broker: {} }, "broker"],
  ])("with %s are refused, and the reason names it", (_, credentials, reason) => {
    expect(() => readSettings({ ...givenSettings(), credentials })).toThrow(reason);
  });
});
