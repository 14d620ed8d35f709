import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Config, destinationPorts } from "../../../services/intake/config.ts";
import { STORE_TABLE } from "../../../services/intake/store/table.ts";
import { readConfig } from "../../../services/shared/config.ts";
import { PURPOSES } from "../../../services/shared/work/kinds.ts";
import { type Cost, costPer1000Uses, costPerMonthIdle, PRICES } from "../../bench/credentials-cost.ts";
import { isAllowed, type PolicyDocument, roleOf } from "../iam.ts";
import { parameterArn } from "../org-battery.ts";
import { synthesize } from "../synthesized.ts";
import { containerOf, environmentOf } from "./containers.ts";

const { deployment } = synthesize();

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
        ...readFileSync(new URL(`../../../services/${file}`, import.meta.url), "utf8").matchAll(
          /new (\w+)Command\(/g,
        ),
      ].map(([, command = ""]) => command.replace(/Batch$/, "")),
    ),
  ),
];

describe("the intake", () => {
  const environment = environmentOf(deployment, "intake");

  test("takes the settings that it is given", () => {
    const settings = readConfig(environment, Config);
    expect(settings).toMatchObject({
      STRONGROOM_BEHIND_PROXY: true,
      STRONGROOM_DIRECTORY_URL: "http://control-plane.vaults.strongroom.example.com:8280/v1/directory",
    });
    expect([...destinationPorts(settings)]).toEqual([443]);
  });

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
    for (const purpose of PURPOSES) {
      const worker = environmentOf(deployment, `worker-${purpose}`);
      expect(environment[`STRONGROOM_${purpose.toUpperCase()}_KEY`]).toBe(worker.STRONGROOM_KEY);
      expect(environment[`STRONGROOM_${purpose.toUpperCase()}_QUEUES`]).toBe(worker.STRONGROOM_QUEUES);
    }
  });

  test("is led to the broker and to nothing else of its network, and signs receipts", () => {
    const endpoint = deployment.resource("StrongroomIntake", "AWS::EC2::VPCEndpoint");
    const service = deployment.resource("StrongroomWorkerBroker", "AWS::EC2::VPCEndpointService");
    const { stack, id } = service;
    expect(endpoint.properties).toMatchObject({
      ServiceName: `com.amazonaws.vpce.eu-central-1.${deployment.resolve(stack, { Ref: id })}`,
      PrivateDnsEnabled: false,
    });
    const [dnsName] = [environment.STRONGROOM_BROKER_URL?.replace(/^https:\/\/|:8240$/g, "")];
    expect(deployment.resolve("StrongroomIntake", { "Fn::GetAtt": [endpoint.id, "DnsEntries"] })).toEqual([
      `Z1:${dnsName}`,
    ]);
    const key = deployment.resource("StrongroomIntake", "AWS::KMS::Key", "ReceiptsKey");
    expect(environment.STRONGROOM_RECEIPTS_KEY).toBe(`kms:${key.arn}`);
    expect(key.properties).toMatchObject({ KeySpec: "ECC_NIST_P256", KeyUsage: "SIGN_VERIFY" });
  });

  test("is given its certificate for the broker as SecureStrings, which its starting role alone reads", () => {
    const { Secrets } = containerOf(deployment, "intake");
    const key = deployment.resource("StrongroomNetwork", "AWS::KMS::Key");
    const parameters = Secrets.map(({ ValueFrom }: { ValueFrom: string }) =>
      ValueFrom.replace(/^.*:parameter/, ""),
    );
    expect(parameters).toHaveLength(3);
    const opening = (name: string) =>
      isAllowed(roleOf(deployment, name), {
        ...{ action: "kms:Decrypt", resource: key.arn, keyPolicy: key.properties.KeyPolicy },
        context: {
          "kms:ViaService": "ssm.eu-central-1.amazonaws.com",
          "kms:EncryptionContext:PARAMETER_ARN": parameterArn(parameters[0]),
        },
      });
    const named = deployment
      .resources("AWS::IAM::Role")
      .flatMap(({ properties }) => properties.RoleName ?? []);
    expect(named.filter(opening)).toEqual(["strongroom-intake-execution"]);
  });

  test("has the table that its store expects, encrypted by a customer key and recoverable for 35 days", () => {
    const table = deployment.resource("StrongroomIntake", "AWS::DynamoDB::Table");
    const key = deployment.resource("StrongroomIntake", "AWS::KMS::Key", "TableKey");
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

describe("the cost", () => {
  const guide = readFileSync(new URL("../../../docs/credentials.md", import.meta.url), "utf8");

  /** A row of the guide's table: the parts' costs in its order. */
  const row = (name: string) =>
    new RegExp(`^\\| ${name} \\|(.*)\\|$`, "m")
      .exec(guide)?.[1]
      ?.split("|")
      .map((cell) => cell.trim());
  const cells = ({ kms, sqs, dynamoDb, fargate, network, total }: Cost, digits: number) =>
    [kms, sqs, dynamoDb, fargate, network, total].map((cost) => `$${cost.toFixed(digits)}`);

  test("the guide's costs are the computed ones, with the date of their prices", () => {
    expect(row("1,000 uses")).toEqual(cells(costPer1000Uses(), 4));
    expect(row("a month, unused")).toEqual(cells(costPerMonthIdle(), 0));
    expect(guide).toContain(PRICES.writtenDown);
  });

  test("a measured number replaces an assumed one", () => {
    const cost = costPer1000Uses({ kmsRequests: 0, jobsPerSecond: 100 });
    expect(cost.kms).toBe(0);
    expect(cost.fargate).toBeCloseTo(2 * costPer1000Uses().fargate, 10);
    expect(cost.total).toBeCloseTo(cost.sqs + cost.dynamoDb + cost.fargate + cost.network, 10);
    expect(costPerMonthIdle({ natGateways: 1 }).network).toBeLessThan(costPerMonthIdle().network);
  });

  test("what is computed is what the templates have: tasks, gateways, endpoints, keys", () => {
    const ours = (stack: string) => /^Strongroom(Worker|Intake)/.test(stack);
    const of = (type: string) => deployment.resources(type).filter(({ stack }) => ours(stack));
    for (const { properties } of of("AWS::ECS::TaskDefinition")) {
      expect(properties).toMatchObject({ Cpu: "1024", Memory: "2048" });
      expect(properties.RuntimePlatform.CpuArchitecture).toBe("ARM64");
    }
    expect(of("AWS::ECS::Service").map(({ properties }) => properties.DesiredCount)).toEqual([2, 2, 2, 2, 2]);
    expect(of("AWS::EC2::NatGateway")).toHaveLength(12);
    expect(
      of("AWS::EC2::VPCEndpoint").filter(({ properties }) => properties.VpcEndpointType === "Interface"),
    ).toHaveLength(14 + 6 + 2);
    expect(of("AWS::KMS::Key")).toHaveLength(5);
  });
});
