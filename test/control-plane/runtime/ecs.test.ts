import { DescribeContinuousBackupsCommand, DescribeTableCommand } from "@aws-sdk/client-dynamodb";
import { DescribeServicesCommand, ListServicesCommand } from "@aws-sdk/client-ecs";
import {
  CreateRoleCommand,
  GetRoleCommand,
  ListAttachedRolePoliciesCommand,
  ListRolePoliciesCommand,
} from "@aws-sdk/client-iam";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { awsClients } from "../../../services/control-plane/runtime/ecs/clients.ts";
import { EcsRuntime } from "../../../services/control-plane/runtime/ecs.ts";
import { AwsError } from "../../../services/shared/aws/aws-error.ts";
import type { Cell } from "../../../services/shared/aws/cell.ts";
import { ORG_ROLE_PATH, orgNames, orgTable } from "../../../services/shared/aws/names.ts";
import { RATES, type Rate, RateLimits, type RateName } from "../../../services/shared/aws/rates.ts";
import type { InstanceSpec } from "../../../services/shared/instance-spec.ts";
import { newOrgId } from "../../../services/shared/org.ts";
import { awsEnvironment, makeCell } from "../../harness/aws/cell.ts";
import { describeOnAws } from "../../harness/aws/describe.ts";
import { Inventory } from "../../harness/aws/inventory.ts";
import { type MotoServer, startMoto } from "../../harness/aws/moto.ts";
import { type Call, startWire, type Wire } from "../../harness/aws/wire.ts";
import { eventually } from "../stage.ts";

const scaled = (factor: number) =>
  Object.fromEntries(
    Object.entries(RATES).map(([name, { burst, perSecond }]) => [
      name,
      { burst, perSecond: perSecond * factor },
    ]),
  ) as Record<RateName, Rate>;

/** No task runs here: what the control plane asks AWS for, and what it does where AWS will not. */
describeOnAws("the runtime on the AWS APIs", () => {
  let moto: MotoServer;
  let wire: Wire;
  let cell: Cell;
  let inventory: Inventory;
  let runtime: EcsRuntime;
  const before = { ...process.env };

  beforeAll(async () => {
    moto = await startMoto(inject("moto"));
    cell = await makeCell(moto.endpoint);
    wire = await startWire({ ecs: moto.endpoint, others: moto.endpoint });
    inventory = new Inventory(moto.endpoint, cell);
    Object.assign(process.env, awsEnvironment(wire.url));
    runtime = new EcsRuntime(awsClients(cell, new RateLimits(scaled(100))));
  });
  afterAll(async () => {
    process.env = before;
    await wire?.close();
    await moto?.stop();
  });
  afterEach(() => {
    wire.heal();
    wire.calls.length = 0;
  });

  const specOf = (org: string, change: Partial<InstanceSpec> = {}): InstanceSpec => ({
    org,
    attempt: 1,
    listen: `${org}.orgs.strongroom.test:8200`,
    config: { storage: {}, listener: { tcp: { tls_cert_file: "{dir}/tls/certificate.pem" } } },
    environment: {},
    secrets: [{ environment: "VAULT_TOKEN", parameter: `/strongroom/orgs/${org}/unseal-token` }],
    restart: 0,
    reload: 0,
    ...change,
  });
  const sent = (operation: string): Call["input"][] =>
    wire.calls.filter((call) => call.operation === operation).map(({ input }) => input);
  const operations = () => wire.calls.map(({ operation }) => operation);
  const failure = (work: Promise<unknown>): Promise<AwsError> =>
    work.then(
      () => expect.fail("it did not fail"),
      (error) => error,
    );

  test("an organization gets a role for its start and one for its run, which own nothing but a tag", async () => {
    const org = newOrgId();
    await runtime.publish(specOf(org));
    const { executionRole, taskRole } = orgNames(org);
    for (const [RoleName, policy] of [
      [executionRole, cell.executionPolicyArn],
      [taskRole, cell.taskPolicyArn],
    ] as const) {
      const { Role } = await inventory.iam.send(new GetRoleCommand({ RoleName }));
      expect(Role).toMatchObject({
        Path: ORG_ROLE_PATH,
        Tags: [{ Key: "org", Value: org }],
        PermissionsBoundary: { PermissionsBoundaryArn: cell.permissionsBoundaryArn },
      });
      expect(JSON.parse(decodeURIComponent(Role?.AssumeRolePolicyDocument ?? "")).Statement).toEqual([
        {
          Effect: "Allow",
          Principal: { Service: "ecs-tasks.amazonaws.com" },
          Action: "sts:AssumeRole",
          Condition: {
            StringEquals: { "aws:SourceAccount": cell.account },
            ArnLike: { "aws:SourceArn": `arn:aws:ecs:${cell.region}:${cell.account}:*` },
          },
        },
      ]);
      const attached = await inventory.iam.send(new ListAttachedRolePoliciesCommand({ RoleName }));
      expect(attached.AttachedPolicies?.map(({ PolicyArn }) => PolicyArn)).toEqual([policy]);
      const inline = await inventory.iam.send(new ListRolePoliciesCommand({ RoleName }));
      expect(inline.PolicyNames).toEqual([]);
    }
  });

  test("its table is encrypted, protected against deletion, and kept to any second of the last weeks", async () => {
    const org = newOrgId();
    await runtime.publish(specOf(org));
    const TableName = orgTable(org, 1);
    const { Table } = await inventory.dynamodb.send(new DescribeTableCommand({ TableName }));
    expect(Table).toMatchObject({
      DeletionProtectionEnabled: true,
      BillingModeSummary: { BillingMode: "PAY_PER_REQUEST" },
      SSEDescription: { SSEType: "KMS", KMSMasterKeyArn: cell.tableKeyArn },
      KeySchema: [
        { AttributeName: "Path", KeyType: "HASH" },
        { AttributeName: "Key", KeyType: "RANGE" },
      ],
    });
    const backups = await inventory.dynamodb.send(new DescribeContinuousBackupsCommand({ TableName }));
    expect(
      backups.ContinuousBackupsDescription?.PointInTimeRecoveryDescription?.PointInTimeRecoveryStatus,
    ).toBe("ENABLED");
    expect(await inventory.tableTags(TableName)).toEqual({ org, "strongroom:attempt": "1" });
  });

  test("its service runs one task at a time, in private, and tags it", async () => {
    const org = newOrgId();
    await runtime.publish(specOf(org));
    expect(sent("CreateService").at(-1)).toMatchObject({
      serviceName: orgNames(org).service,
      desiredCount: 1,
      capacityProviderStrategy: [{ capacityProvider: "FARGATE", weight: 1 }],
      deploymentConfiguration: {
        minimumHealthyPercent: 0,
        maximumPercent: 100,
        deploymentCircuitBreaker: { enable: true, rollback: false },
      },
      availabilityZoneRebalancing: "DISABLED",
      propagateTags: "TASK_DEFINITION",
      enableExecuteCommand: false,
      networkConfiguration: { awsvpcConfiguration: { assignPublicIp: "DISABLED" } },
      tags: [{ key: "org", value: org }],
    });
    expect(sent("PutRetentionPolicy")).toMatchObject([{ retentionInDays: 365 }]);
  });

  test("published again it changes nothing", async () => {
    const spec = specOf(newOrgId());
    await runtime.publish(spec);
    wire.calls.length = 0;
    await runtime.publish(spec);
    expect(operations().filter((operation) => !/^Describe/.test(operation))).toEqual([]);
  });

  test("what has changed replaces what ran only once nothing runs, and the old definition goes", async () => {
    const spec = specOf(newOrgId());
    await runtime.publish(spec);
    wire.calls.length = 0;
    await runtime.publish({ ...spec, restart: 1 });
    await eventually(
      "it is replaced",
      async () => operations().includes("DeleteTaskDefinitions") || undefined,
    );
    const [stop, start] = sent("UpdateService");
    // What ECS could refuse goes with the first, which then leaves the service as it is.
    expect(stop).toMatchObject({ desiredCount: 0, taskDefinition: expect.stringMatching(/:2$/) });
    expect(start).toEqual({
      cluster: cell.cluster,
      service: orgNames(spec.org).service,
      desiredCount: 1,
      forceNewDeployment: true,
    });
    expect(operations().slice(operations().indexOf("UpdateService"))).toEqual([
      "UpdateService",
      "DescribeServices",
      "ListTasks",
      "ListTasks",
      "UpdateService",
      "ListTaskDefinitions",
      "DeregisterTaskDefinition",
      "DeleteTaskDefinitions",
    ]);
    expect(await inventory.of(spec.org)).toMatchObject({ definitions: 1 });
  });

  describe("an answer that is lost", () => {
    const STEPS = [
      "IAM CreateRole",
      "IAM AttachRolePolicy",
      "DynamoDB CreateTable",
      "DynamoDB UpdateContinuousBackups",
      "CloudWatch Logs CreateLogGroup",
      "ServiceDiscovery CreateService",
      "ECS RegisterTaskDefinition",
      "ECS CreateService",
    ];

    test.each(STEPS)("%s: the next try finds what was done", async (operation) => {
      const org = newOrgId();
      wire.fail(operation, "lose");
      await runtime.publish(specOf(org));
      expect(await inventory.of(org)).toMatchObject({
        roles: expect.arrayContaining(
          Object.values(orgNames(org)).filter((name) => /-(task|exec)/.test(name)),
        ),
        services: 1,
        names: 1,
        tables: [orgTable(org, 1)],
      });
      await runtime.remove(org);
      expect(await inventory.of(org)).toMatchObject({ roles: [], services: 0, names: 0, definitions: 0 });
    });
  });

  test("a replacement that fails half-way is told in AWS's words, and begun again", async () => {
    const spec = specOf(newOrgId());
    await runtime.publish(spec);
    // The first one stops what runs.
    wire.fail("ECS ListTasks", { code: "AccessDeniedException", message: "by its own words" });
    await runtime.publish({ ...spec, restart: 1 });
    // To look would list tasks too, and might take the refusal from the one it is meant for.
    await eventually("it was refused", async () => wire.calls.some(({ refused }) => refused) || undefined);
    const status = await runtime.waitFor(spec.org, ({ lastError }) => lastError !== undefined, 10_000);
    expect(status).toMatchObject({
      state: "stopped",
      lastError: expect.stringMatching(/ListTasks .*AccessDenied/),
    });
    await runtime.recover({ ...spec, restart: 1 });
    await eventually(
      "it is replaced",
      async () => operations().includes("DeleteTaskDefinitions") || undefined,
    );
    expect(sent("UpdateService").at(-1)).toMatchObject({ desiredCount: 1 });
    expect((await runtime.observe(spec.org))?.lastError).toBeUndefined();
  });

  test("a replacement that AWS refuses is said at once, and leaves running what runs", async () => {
    const spec = specOf(newOrgId());
    await runtime.publish(spec);
    wire.fail("ECS UpdateService", { code: "InvalidParameterException", message: "by its own words" });
    expect((await failure(runtime.publish({ ...spec, restart: 1 }))).message).toMatch(/by its own words$/);
    const { services = [] } = await inventory.ecs.send(
      new DescribeServicesCommand({ cluster: cell.cluster, services: [orgNames(spec.org).service] }),
    );
    expect(services).toMatchObject([{ desiredCount: 1, taskDefinition: expect.stringMatching(/:1$/) }]);
  });

  test("definitions are tidied up beside what matters: refused, it is done after the next replacement", async () => {
    const spec = specOf(newOrgId());
    await runtime.publish(spec);
    wire.fail("ECS DeregisterTaskDefinition", { code: "AccessDeniedException" });
    await runtime.publish({ ...spec, restart: 1 });
    await eventually("it was refused", async () => wire.calls.some(({ refused }) => refused) || undefined);
    expect((await runtime.observe(spec.org))?.lastError).toBeUndefined();
    expect(await inventory.of(spec.org)).toMatchObject({ definitions: 2 });
    await runtime.publish({ ...spec, restart: 2 });
    await eventually("all are gone but one", async () => {
      const { definitions } = await inventory.of(spec.org);
      return definitions === 1 || undefined;
    });
  });

  test("looks at many at once are asked of ECS ten at a time", async () => {
    const orgs = Array.from({ length: 24 }, () => newOrgId());
    await runtime.publish(specOf(orgs[0] as string));
    wire.calls.length = 0;
    const seen = await Promise.all(orgs.map((org) => runtime.observe(org)));
    expect(seen.map((status) => status?.org)).toEqual([orgs[0], ...Array(23).fill(undefined)]);
    const asked = sent("DescribeServices").map(({ services }) => (services as string[]).length);
    expect(asked).toEqual([10, 10, 4]);
  });

  test("removed, it leaves what retention asks for: its table and its log", async () => {
    const org = newOrgId();
    await runtime.publish(specOf(org));
    await runtime.remove(org);
    expect(await inventory.of(org)).toEqual({
      roles: [],
      definitions: 0,
      services: 0,
      names: 0,
      parameters: [],
      logGroups: [orgNames(org).logGroup],
      tables: [orgTable(org, 1)],
    });
    await runtime.remove(org);
    await runtime.publish(specOf(org, { attempt: 2 }));
    expect(await inventory.of(org)).toMatchObject({
      services: 1,
      tables: [orgTable(org, 1), orgTable(org, 2)],
    });
  });

  test("a hundred at once stay inside the rates that ECS publishes", async () => {
    // Twenty times as fast, on both sides, or it would take two minutes.
    const rates = scaled(20);
    const swift = new EcsRuntime(awsClients(cell, new RateLimits(rates)));
    const { "ecs-task-definition": definitions, "ecs-service": services, "ecs-read": reads } = rates;
    wire.throttle({ "ecs-task-definition": definitions, "ecs-service": services, "ecs-read": reads });
    await Promise.all(Array.from({ length: 100 }, () => swift.publish(specOf(newOrgId()))));
    expect(sent("CreateService").filter(({ serviceName }) => serviceName)).toHaveLength(100);
    expect(wire.calls.filter(({ refused }) => refused).map(({ operation }) => operation)).toEqual([]);
  }, 90_000);

  test("where Fargate's quota of vCPU has no room for one more, that is said before anything is made", async () => {
    const { serviceArns = [] } = await inventory.ecs.send(
      new ListServicesCommand({ cluster: cell.cluster, maxResults: 100 }),
    );
    // AWS's default, were there no others: the platform's 5.25 and three organizations.
    const full = { ...cell, platformCpu: 5376 - 256 * serviceArns.length };
    const small = new EcsRuntime(awsClients(full, new RateLimits(scaled(100))));
    wire.vcpu = 6;
    const admitted = [newOrgId(), newOrgId(), newOrgId()];
    for (const org of admitted) await small.publish(specOf(org));
    wire.calls.length = 0;
    const org = newOrgId();
    expect((await failure(small.publish(specOf(org)))).message).toMatch(
      /^The account's Fargate quota has no capacity for another organization: it would need 6.25 vCPU.* quota is 6\. Request more: aws service-quotas .*L-3032A538/,
    );
    expect(operations()).not.toContain("CreateRole");
    expect(await inventory.of(org)).toMatchObject({ roles: [], tables: [], services: 0, names: 0 });
    // Those that are there are changed all the same.
    await small.publish(specOf(admitted[0] as string, { restart: 1 }));
    for (const { code } of [{ code: "NoSuchResourceException" }, { code: "AccessDeniedException" }]) {
      wire.fail("Service Quotas GetServiceQuota", { code });
      await small.publish(specOf(newOrgId()));
    }
  });

  test("throttled all the same, by others' calls, it tries again", async () => {
    const org = newOrgId();
    wire.fail("ECS RegisterTaskDefinition", { code: "ThrottlingException" }, 2);
    wire.fail("IAM CreateRole", { code: "Throttling" }, 2);
    await runtime.publish(specOf(org));
    expect(await inventory.of(org)).toMatchObject({ services: 1, definitions: 1 });
  });

  test.each([
    ["ECS CreateService", "AccessDeniedException", "ECS CreateService"],
    ["ECS DescribeServices", "ClusterNotFoundException", "ECS DescribeServices"],
    ["IAM CreateRole", "LimitExceededException", "IAM CreateRole"],
    ["DynamoDB CreateTable", "LimitExceededException", "DynamoDB CreateTable"],
    ["ECS RegisterTaskDefinition", "ClientException", "ECS RegisterTaskDefinition"],
  ])("%s refused with %s: AWS's code and request id are told", async (operation, code, words) => {
    wire.fail(operation, { code, message: "by its own words" }, 2);
    const hasty = new EcsRuntime(awsClients(cell, new RateLimits(), 2));
    const error = await failure(hasty.publish(specOf(newOrgId())));
    expect(error).toBeInstanceOf(AwsError);
    expect(error.awsCode).toBe(code);
    expect(error.message).toMatch(
      new RegExp(`^${words}.*: ${code} \\(request wire-\\d+\\): by its own words$`),
    );
  });

  test("without credentials that is said, and nothing is made", async () => {
    const kept = { ...process.env };
    delete process.env.AWS_ACCESS_KEY_ID;
    delete process.env.AWS_SECRET_ACCESS_KEY;
    process.env.AWS_EC2_METADATA_DISABLED = "true";
    process.env.AWS_SHARED_CREDENTIALS_FILE = "/dev/null";
    process.env.AWS_CONFIG_FILE = "/dev/null";
    try {
      const poor = new EcsRuntime(awsClients(cell, new RateLimits()));
      expect((await failure(poor.publish(specOf(newOrgId())))).message).toMatch(
        /^ECS DescribeServices \S+: CredentialsProviderError: /,
      );
    } finally {
      process.env = kept;
    }
  });

  test("a role of that name that somebody else made is refused and left alone", async () => {
    const org = newOrgId();
    const RoleName = orgNames(org).taskRole;
    const AssumeRolePolicyDocument = JSON.stringify({ Version: "2012-10-17", Statement: [] });
    await inventory.iam.send(
      new CreateRoleCommand({ RoleName, Path: ORG_ROLE_PATH, AssumeRolePolicyDocument }),
    );
    expect((await failure(runtime.publish(specOf(org)))).message).toMatch(
      /was not created for this organization/,
    );
    expect(sent("AttachRolePolicy").map(({ RoleName }) => RoleName)).not.toContain(RoleName);
  });

  test("a table that holds another organization's data is refused and left alone", async () => {
    const org = newOrgId();
    await runtime.publish(specOf(org));
    await runtime.remove(org);
    await inventory.tagTable(orgTable(org, 1), { org: newOrgId() });
    expect((await failure(runtime.publish(specOf(org)))).message).toMatch(
      /was not created for this organization/,
    );
    expect(await inventory.of(org)).toMatchObject({ services: 0 });
  });

  test("a table that was set aside is not used again; one that is ready is set aside only when deleted", async () => {
    const org = newOrgId();
    await runtime.publish(specOf(org));
    expect(await runtime.hasReadyMarker(org, 1)).toBe(false);
    await runtime.markReady(org, 1);
    expect(await runtime.hasReadyMarker(org, 1)).toBe(true);
    expect(await runtime.hasReadyMarker(org, 2)).toBe(false);
    await expect(runtime.setAside(org, 1, "a mistake")).rejects.toMatchObject({ code: "quarantined" });
    await runtime.remove(org);
    await runtime.setAside(org, 1, "deleted");
    await runtime.setAside(org, 2, "never made");
    expect((await failure(runtime.publish(specOf(org)))).message).toMatch(/was set aside/);
  });

  test("nothing is known of an organization that was never published", async () => {
    expect(await runtime.observe(newOrgId())).toBeUndefined();
    await expect(runtime.waitFor(newOrgId(), () => true, 100)).rejects.toMatchObject({
      code: "step_timeout",
    });
  });
});
