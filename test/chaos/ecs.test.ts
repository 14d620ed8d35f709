import { afterAll, beforeAll, expect, inject, test } from "vitest";
import type { OrgView } from "../../services/shared/api/orgs.ts";
import { eventually, Stage } from "../control-plane/stage.ts";
import { describeOnAws } from "../harness/aws/describe.ts";
import { AwsStage } from "../harness/aws/stage.ts";
import { startGateway, type TestGateway } from "../harness/gateway.ts";

describeOnAws("on AWS, when things end", () => {
  let aws: AwsStage;
  let stage: Stage;
  let gateway: TestGateway;
  let orgs: OrgView[];

  beforeAll(async () => {
    const vaultBinary = inject("vaultBinary");
    aws = await AwsStage.open({ emulator: inject("moto"), vaultBinary, instances: 2 });
    stage = await Stage.open({ vaultBinary, settings: aws.settings });
    await stage.startControlPlane();
    gateway = await startGateway({ issuers: [stage.issuer], ca: stage.internal.ca, orgs: [] });
    orgs = await Promise.all(["acme", "globex", "initech", "hooli"].map((name) => stage.onboard(name)));
    for (const org of orgs) await stage.writeSecret(org, `of ${org.name}`);
    await gateway.publish(orgs.map(({ id, claim, listen }) => ({ id, claim, address: `https://${listen}` })));
  });
  afterAll(async () => {
    await gateway?.close();
    await stage?.close();
    await aws?.close();
  });

  /** Settings that are others to each Vault, and mean the same. */
  const changed = () => ({
    STRONGROOM_INTERNAL_VAULT_ADDR: stage.internal.endpoint.address.replace("127.0.0.1", "localhost"),
  });
  const call = (org: OrgView, method: string, body?: object) => {
    const token = stage.issuer.token({ org_id: org.claim, groups: ["writer"] });
    return gateway.call(method, "/v1/secret/data/app/db", { token, ...(body && { body }) });
  };
  const serves = (org: OrgView) =>
    eventually(`${org.name} is read`, async () => {
      const { status, json } = await call(org, "GET");
      return status === 200 ? (json.data?.data as { value: string }).value : undefined;
    });
  const taskOf = (org: OrgView) => {
    const [task, another] = aws.tasks(org.id);
    if (!task || another) throw new Error(`${org.name} has not exactly one task`);
    return task;
  };

  test("a task that is killed is replaced, and serves again once the lock has run out", async () => {
    const [acme] = orgs as [OrgView];
    const task = taskOf(acme);
    const begun = performance.now();
    process.kill(task.pid ?? 0, "SIGKILL");
    await task.ended;
    expect(task).toMatchObject({ stopCode: "EssentialContainerExited", exitCode: 137 });
    expect(await serves(acme)).toBe("of acme");
    expect(taskOf(acme).id).not.toBe(task.id);
    expect(performance.now() - begun).toBeLessThan(60_000);
  });

  test("a replacement begins only when the task before it has ended, which gives the lock back", async () => {
    const [acme] = orgs as [OrgView];
    const task = taskOf(acme);
    const pid = task.pid ?? 0;
    // It takes its time to end: nothing else may start meanwhile.
    process.kill(pid, "SIGSTOP");
    const alive: number[] = [];
    const watch = setInterval(() => alive.push(aws.tasks(acme.id).length), 20);
    await stage.startControlPlaneAnew(changed());
    await eventually("it is told to end", async () => task.desiredStatus === "STOPPED" || undefined);
    setTimeout(() => process.kill(pid, "SIGCONT"), 2_000);
    await eventually("it is replaced", async () => {
      const [other] = aws.tasks(acme.id);
      return other && other.id !== task.id && other.lastStatus === "RUNNING" ? true : undefined;
    });
    clearInterval(watch);
    expect(Math.max(...alive)).toBe(1);
    expect(task.stopCode).toBe("ServiceSchedulerInitiated");
    expect(await serves(acme)).toBe("of acme");
  });

  test("a control plane that is killed in the middle of a replacement leaves it to the next one", async () => {
    const [, globex] = orgs as [OrgView, OrgView];
    const task = taskOf(globex);
    const pid = task.pid ?? 0;
    process.kill(pid, "SIGSTOP");
    await stage.registry.orgs.update(globex.id, (record) => ({ ...record, reload: record.reload + 1 }));
    await eventually("it is told to end", async () => task.desiredStatus === "STOPPED" || undefined);
    await stage.stopControlPlane("SIGKILL");
    process.kill(pid, "SIGCONT");
    await task.ended;
    expect(aws.tasks(globex.id)).toEqual([]);
    await stage.startControlPlane(undefined, changed());
    expect(await serves(globex)).toBe("of globex");
  });

  test("a machine is lost with all its tasks: all of them serve again elsewhere", async () => {
    const isWell = ({ id }: OrgView) => aws.tasks(id).length === 1 && aws.tasks(id)[0]?.health === "HEALTHY";
    await eventually("all are well", async () => orgs.every(isWell) || undefined);
    const lost = aws.cluster.loseInstance(taskOf(orgs[0] as OrgView).instance);
    await Promise.all(lost.map(({ ended }) => ended));
    for (const task of lost) expect(task.stoppedReason).toBe("Host EC2 instance terminated");
    expect(await Promise.all(orgs.map(serves))).toEqual(orgs.map(({ name }) => `of ${name}`));
  });
});
