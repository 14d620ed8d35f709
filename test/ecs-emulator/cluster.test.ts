import { readFileSync } from "node:fs";
import {
  DeleteServiceCommand,
  DescribeServicesCommand,
  DescribeTasksCommand,
  ECSClient,
  ListTasksCommand,
  StopTaskCommand,
  UpdateServiceCommand,
} from "@aws-sdk/client-ecs";
import { PutParameterCommand } from "@aws-sdk/client-ssm";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { awsClients } from "../../services/control-plane/runtime/ecs/clients.ts";
import { EcsRuntime } from "../../services/control-plane/runtime/ecs.ts";
import { orgNames } from "../../services/shared/aws/names.ts";
import { RateLimits } from "../../services/shared/aws/rates.ts";
import type { InstanceSpec } from "../../services/shared/instance-spec.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { commandLineOf, environmentOf } from "../agent/platform.ts";
import { eventually } from "../control-plane/stage.ts";
import { awsEnvironment, clientOf } from "../harness/aws/cell.ts";
import { describeOnAws } from "../harness/aws/describe.ts";
import { AwsStage } from "../harness/aws/stage.ts";

describeOnAws("the agent as ECS", () => {
  let aws: AwsStage;
  let ecs: ECSClient;
  let runtime: EcsRuntime;
  let ahead = 0;
  const before = { ...process.env };

  beforeAll(async () => {
    // Long enough for a test to look between two starts.
    const backoff = { firstMs: 2_000, mostMs: 2_000 };
    aws = await AwsStage.open({ emulator: inject("moto"), vaultBinary: inject("vaultBinary"), backoff });
    ecs = new ECSClient(clientOf(aws.wire.url));
    Object.assign(process.env, awsEnvironment(aws.wire.url));
    runtime = new EcsRuntime(awsClients(aws.cell, new RateLimits()), () => new Date(Date.now() + ahead));
  });
  afterAll(async () => {
    process.env = before;
    await aws?.close();
  });

  /** A Vault that seals itself by nothing and speaks no TLS: a process, for all we need. */
  async function plainSpec(change: Partial<InstanceSpec> = {}): Promise<InstanceSpec> {
    const org = newOrgId();
    return {
      org,
      attempt: 1,
      listen: await runtime.allocate(org),
      config: {
        storage: { inmem: {} },
        listener: { tcp: { address: "{address}:8200", tls_disable: true } },
        disable_mlock: true,
      },
      environment: { COLOUR: "blue" },
      secrets: [
        { environment: "VAULT_TOKEN", parameter: `/strongroom/orgs/${org}/unseal-token` },
        { file: "tls/key.pem", parameter: `/strongroom/orgs/${org}/tls-key` },
      ],
      restart: 0,
      reload: 0,
      ...change,
    };
  }
  async function putSecrets({ secrets }: InstanceSpec): Promise<void> {
    for (const { parameter: Name } of secrets) {
      const KeyId = aws.cell.parameterKeyArn;
      await aws.inventory.ssm.send(
        new PutParameterCommand({ Name, Value: `of ${Name}`, Type: "SecureString", KeyId }),
      );
    }
  }
  const running = (org: string) => runtime.waitFor(org, ({ state }) => state === "running", 30_000);
  const tasks = async (org: string) => {
    const { cluster } = aws.cell;
    const { taskArns = [] } = await ecs.send(
      new ListTasksCommand({ cluster, serviceName: orgNames(org).service }),
    );
    return ecs.send(new DescribeTasksCommand({ cluster, tasks: taskArns, include: ["TAGS"] }));
  };

  test("a task gets its definition's command and environment, its secrets, and an address of its own", async () => {
    const spec = await plainSpec();
    await putSecrets(spec);
    await runtime.publish(spec);
    expect(await running(spec.org)).toMatchObject({ attempt: 1, restart: 0, reload: 0 });
    const [task] = aws.tasks(spec.org);
    await eventually("it has become Vault", async () =>
      commandLineOf(task?.pid ?? 0)[0] === "vault" ? true : undefined,
    );
    expect(commandLineOf(task?.pid ?? 0)).toEqual(["vault", "server", "-config=vault.json"]);
    expect(environmentOf(task?.pid ?? 0)).toMatchObject({
      COLOUR: "blue",
      VAULT_TOKEN: `of /strongroom/orgs/${spec.org}/unseal-token`,
    });
    expect(readFileSync(`${task?.folder}/root/tls/key.pem`, "utf8")).toBe(
      `of /strongroom/orgs/${spec.org}/tls-key\n`,
    );
    expect(task?.address).toMatch(/^127\./);
    await eventually("it answers", async () => {
      const answer = await fetch(`http://${task?.address}:8200/v1/sys/seal-status`).catch(() => undefined);
      return answer?.ok || undefined;
    });
    expect((await tasks(spec.org)).tasks?.[0]).toMatchObject({
      lastStatus: "RUNNING",
      group: `service:${orgNames(spec.org).service}`,
      tags: expect.arrayContaining([{ key: "org", value: spec.org }]),
    });
    await runtime.remove(spec.org);
    expect(aws.tasks(spec.org)).toEqual([]);
    expect(await aws.inventory.of(spec.org)).toMatchObject({ names: 0, services: 0 });
  });

  test("a task that is stopped by hand says so, and is replaced", async () => {
    const spec = await plainSpec();
    await putSecrets(spec);
    await runtime.publish(spec);
    await running(spec.org);
    const [task] = aws.tasks(spec.org);
    await ecs.send(new StopTaskCommand({ cluster: aws.cell.cluster, task: task?.id, reason: "by hand" }));
    await task?.ended;
    expect(task).toMatchObject({ stopCode: "UserInitiated", stoppedReason: "by hand" });
    await running(spec.org);
    expect(aws.tasks(spec.org).map(({ id }) => id)).not.toContain(task?.id);
    await runtime.remove(spec.org);
  });

  test("secrets that are missing keep a task from starting; ECS gives up, and is asked again once a minute", async () => {
    const spec = await plainSpec();
    await runtime.publish(spec);
    const given = await runtime.waitFor(
      spec.org,
      ({ lastError }) => /circuit|deployment failed/.test(lastError ?? ""),
      30_000,
    );
    expect(given).toMatchObject({
      state: "backoff",
      lastError: expect.stringMatching(
        /^ResourceInitializationError: .*invalid ssm parameters: \/strongroom\/orgs\/.*deployment failed/,
      ),
    });
    await putSecrets(spec);
    await runtime.recover(spec);
    await running(spec.org);
    for (const task of aws.tasks(spec.org)) task.kill();
    const count = () => aws.wire.calls.filter(({ operation }) => operation === "UpdateService").length;
    const asked = count();
    await runtime.recover(spec);
    expect(count()).toBe(asked);
    await runtime.remove(spec.org);
  });

  test("a task that ECS leaves alone for long is asked for again after a minute, not before", async () => {
    const spec = await plainSpec();
    await runtime.publish(spec);
    await runtime.waitFor(spec.org, ({ lastError }) => lastError !== undefined, 30_000);
    const isForced = () =>
      aws.wire.calls.some(
        ({ operation, input }) =>
          operation === "UpdateService" &&
          input.service === orgNames(spec.org).service &&
          input.forceNewDeployment === true,
      );
    // Its tasks fail for want of secrets, and between two of them none is there.
    await eventually("there is no task", async () => aws.tasks(spec.org).length === 0 || undefined);
    await runtime.recover(spec);
    expect(isForced()).toBe(false);
    ahead = 120_000;
    await eventually("it is asked for again", async () => {
      await runtime.recover(spec);
      return isForced() || undefined;
    });
    ahead = 0;
    await runtime.remove(spec.org);
  });

  test("a service that somebody deleted, or scaled to none, is made again", async () => {
    const spec = await plainSpec();
    const service = orgNames(spec.org).service;
    const { cluster } = aws.cell;
    await putSecrets(spec);
    await runtime.publish(spec);
    await running(spec.org);
    await ecs.send(new UpdateServiceCommand({ cluster, service, desiredCount: 0 }));
    await runtime.waitFor(spec.org, ({ state }) => state === "stopped", 30_000);
    await runtime.recover(spec);
    await running(spec.org);
    await ecs.send(new DeleteServiceCommand({ cluster, service, force: true }));
    await eventually("it is gone", async () => ((await runtime.observe(spec.org)) ? undefined : true));
    await runtime.recover(spec);
    await running(spec.org);
    await runtime.remove(spec.org);
  });

  test("a Spot task that is taken away is asked for on demand at once", async () => {
    const spec = await plainSpec();
    await putSecrets(spec);
    const thrifty = new EcsRuntime(awsClients({ ...aws.cell, spot: true }, new RateLimits()));
    await thrifty.publish(spec);
    await running(spec.org);
    const strategies = () =>
      aws.wire.calls
        .filter(({ input }) => input.serviceName === orgNames(spec.org).service || input.forceNewDeployment)
        .flatMap(({ input }) => input.capacityProviderStrategy ?? []);
    expect(strategies().at(-1)).toMatchObject({ capacityProvider: "FARGATE_SPOT" });
    const [task] = aws.tasks(spec.org);
    task?.kill("SpotInterruption", "Your Spot Task was interrupted.");
    await task?.ended;
    await thrifty.recover(spec);
    expect(strategies().at(-1)).toMatchObject({ capacityProvider: "FARGATE" });
    await running(spec.org);
    await thrifty.remove(spec.org);
  });

  test("another capacity provider strategy is refused unless a deployment is forced, as ECS refuses it", async () => {
    const spec = await plainSpec();
    await putSecrets(spec);
    await runtime.publish(spec);
    const first = await running(spec.org);
    const update = {
      cluster: aws.cell.cluster,
      service: orgNames(spec.org).service,
      capacityProviderStrategy: [{ capacityProvider: "FARGATE_SPOT", weight: 1 }],
    };
    await expect(ecs.send(new UpdateServiceCommand(update))).rejects.toMatchObject({
      name: "InvalidParameterException",
      message: expect.stringMatching(/you must force a new deployment/),
    });
    // The one it has is no change.
    const same = [{ capacityProvider: "FARGATE", weight: 1 }];
    await ecs.send(new UpdateServiceCommand({ ...update, capacityProviderStrategy: same }));
    expect((await runtime.observe(spec.org))?.startedAt).toBe(first.startedAt);

    // A cell that turns to Spot, with the organization on demand.
    const thrifty = new EcsRuntime(awsClients({ ...aws.cell, spot: true }, new RateLimits()));
    await thrifty.publish({ ...spec, restart: 1 });
    expect(
      await thrifty.waitFor(spec.org, ({ restart, state }) => restart === 1 && state === "running", 30_000),
    ).toMatchObject({ restart: 1 });
    const { services = [] } = await ecs.send(
      new DescribeServicesCommand({ cluster: aws.cell.cluster, services: [update.service] }),
    );
    expect(services).toMatchObject([
      { desiredCount: 1, capacityProviderStrategy: [{ capacityProvider: "FARGATE_SPOT" }] },
    ]);
    await thrifty.remove(spec.org);
  });

  test("services are described ten at a time, as ECS does", async () => {
    const { cluster } = aws.cell;
    const services = Array.from({ length: 11 }, () => orgNames(newOrgId()).service);
    await expect(ecs.send(new DescribeServicesCommand({ cluster, services }))).rejects.toMatchObject({
      name: "InvalidParameterException",
    });
    const { failures = [] } = await ecs.send(
      new DescribeServicesCommand({ cluster, services: services.slice(1) }),
    );
    expect(failures).toHaveLength(10);
  });

  test("an image that cannot be pulled is said so", async () => {
    const spec = await plainSpec();
    await putSecrets(spec);
    const elsewhere = { ...aws.cell, image: "nowhere/vault:0" };
    const astray = new EcsRuntime(awsClients(elsewhere, new RateLimits()));
    await astray.publish(spec);
    const status = await astray.waitFor(spec.org, ({ state }) => state === "backoff", 30_000);
    expect(status.lastError).toMatch(/^CannotPullContainerError: .*nowhere\/vault:0: not found/);
    await astray.remove(spec.org);
  });
});
