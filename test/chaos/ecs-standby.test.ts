import { setTimeout as sleep } from "node:timers/promises";
import { ECSClient, UpdateServiceCommand } from "@aws-sdk/client-ecs";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { Task } from "../../services/agent/ecs/task.ts";
import { orgNames } from "../../services/shared/aws/names.ts";
import { GROUPS_CLAIM } from "../../services/shared/identity/local-provider.ts";
import { orgServerName } from "../../services/shared/org.ts";
import type { OrgView } from "../../services/shared/registry/views.ts";
import { Secret } from "../../services/shared/secret.ts";
import { ifFound, type VaultClient, vaultClient } from "../../services/shared/vault/client.ts";
import { health } from "../../services/shared/vault/health.ts";
import { loginWithJwt } from "../../services/shared/vault/platform-jwt.ts";
import { eventually, Stage } from "../control-plane/stage.ts";
import { clientOf } from "../harness/aws/cell.ts";
import { whyMissing } from "../harness/aws/moto.ts";
import { AwsStage } from "../harness/aws/stage.ts";

const missing = whyMissing(inject("moto"));

describe.skipIf(missing)(`two Vaults on one table${missing ? `: skipped, ${missing}` : ""}`, () => {
  let aws: AwsStage;
  let stage: Stage;
  let org: OrgView;
  let leader: Task;
  let standby: Task;

  beforeAll(async () => {
    const vaultBinary = inject("vaultBinary");
    aws = await AwsStage.open({ emulator: inject("moto"), vaultBinary });
    stage = await Stage.open({ vaultBinary, settings: aws.settings });
    await stage.startControlPlane();
    org = await stage.onboard("acme");
    await stage.stopControlPlane();
    leader = aws.tasks(org.id)[0] as Task;
    const ecs = new ECSClient(clientOf(aws.wire.url));
    await ecs.send(
      new UpdateServiceCommand({
        cluster: aws.cell.cluster,
        service: orgNames(org.id).service,
        desiredCount: 2,
      }),
    );
    standby = await eventually("a second task runs", async () =>
      aws.tasks(org.id).find((task) => task !== leader && task.lastStatus === "RUNNING"),
    );
  });
  afterAll(async () => {
    await stage?.close();
    await aws?.close();
  });

  const endpointOf = ({ address }: Task) => ({
    address: `https://${address}:8200`,
    ca: stage.internal.ca,
    serverName: orgServerName(org.id),
  });
  const healthOf = (task: Task) =>
    health(vaultClient(endpointOf(task), undefined, 1_000)).catch(() => undefined);
  async function writer(task: Task): Promise<VaultClient> {
    const jwt = stage.issuer.token({ org_id: org.claim, [GROUPS_CLAIM]: ["writer"] });
    const { token } = await loginWithJwt(endpointOf(task), "jwt", "writer", new Secret(jwt));
    return vaultClient(endpointOf(task), () => token, 2_000);
  }

  const valueAt = async (client: VaultClient, path: string) => {
    const body = await ifFound(client.read(`secret/data/${path}`));
    return (body?.data as { data: { value: string } } | undefined)?.data.value;
  };
  const becomes = (task: Task, state: string) =>
    eventually(`it is ${state}`, async () => ((await healthOf(task)) === state ? true : undefined));

  test("the lock elects one and does not fence the other off: what is lost is what both wrote", async () => {
    await becomes(standby, "standby");
    const old = await writer(leader);
    const acknowledged = new Map<string, string>();
    const write = async (client: VaultClient, path: string, value: string): Promise<void> => {
      await client.write(`secret/data/${path}`, { data: { value } });
      acknowledged.set(path, value);
    };
    for (let n = 0; n < 5; n++) await write(old, `before/${n}`, String(n));

    process.kill(leader.pid ?? 0, "SIGSTOP");
    const stopped = performance.now();
    const late = Array.from({ length: 5 }, (_, n) => write(old, `during/${n}`, String(n)).catch(() => {}));
    await becomes(standby, "active");
    const young = await writer(standby);
    for (let n = 0; n < 5; n++) await write(young, `after/${n}`, String(n));
    await write(young, "shared", "of the new leader");
    await sleep(Math.max(0, 20_000 - (performance.now() - stopped)));
    await Promise.all(late);

    process.kill(leader.pid ?? 0, "SIGCONT");
    // Until it has noticed that it leads no longer, it acknowledges.
    const stale: string[] = [];
    for (let n = 0; (await healthOf(leader)) !== "standby"; n++) {
      expect(performance.now() - stopped, "it does not give way").toBeLessThan(60_000);
      const path = n === 0 ? "shared" : `stale/${n}`;
      const written = old.write(`secret/data/${path}`, { data: { value: "of the old leader" } });
      if (await written.then(() => true).catch(() => false)) stale.push(path);
    }
    const shared = stale.includes("shared")
      ? expect.stringMatching(/^of the (old|new) leader$/)
      : "of the new leader";
    acknowledged.delete("shared");
    for (const [path, value] of acknowledged) expect(await valueAt(young, path), path).toBe(value);
    expect(await valueAt(young, "shared")).toEqual(shared);

    // Whoever leads next reads what is on the table.
    process.kill(standby.pid ?? 0, "SIGKILL");
    await becomes(leader, "active");
    const next = await writer(leader);
    for (const path of stale) acknowledged.set(path, "of the old leader");
    acknowledged.delete("shared");
    for (const [path, value] of acknowledged) expect(await valueAt(next, path), path).toBe(value);
    expect(await valueAt(next, "shared")).toEqual(shared);
  });
});
