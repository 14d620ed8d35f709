import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { PutParameterCommand } from "@aws-sdk/client-ssm";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { awsClients } from "../../services/control-plane/runtime/ecs/clients.ts";
import { EcsRuntime } from "../../services/control-plane/runtime/ecs.ts";
import type { Cell } from "../../services/shared/aws/cell.ts";
import { RateLimits } from "../../services/shared/aws/rates.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { eventually } from "../control-plane/stage.ts";
import { awsEnvironment, makeCell, REGION } from "../harness/aws/cell.ts";
import { describeOnAws } from "../harness/aws/describe.ts";
import { Inventory } from "../harness/aws/inventory.ts";
import { type MotoServer, startMoto } from "../harness/aws/moto.ts";
import { freeListen } from "../harness/vault.ts";

describeOnAws("the emulator's process", () => {
  let moto: MotoServer;
  let cell: Cell;
  let folder: string;
  let listen: string;
  let emulator: ChildProcess | undefined;
  const before = { ...process.env };

  beforeAll(async () => {
    moto = await startMoto(inject("moto"));
    cell = await makeCell(moto.endpoint);
    folder = await mkdtemp(join(tmpdir(), "strongroom-ecs-emulator-"));
    listen = await freeListen();
    // As anyone sets the SDK: one endpoint for all, and another for ECS.
    Object.assign(process.env, awsEnvironment(moto.endpoint), { AWS_ENDPOINT_URL_ECS: `http://${listen}` });
  });
  afterAll(async () => {
    process.env = before;
    emulator?.kill("SIGKILL");
    await moto?.stop();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  });

  function startEmulator(): ChildProcess {
    return spawn(process.execPath, [resolve("services/ecs-emulator/main.ts")], {
      env: {
        PATH: "/usr/bin:/bin",
        STRONGROOM_ECS_CLUSTER: cell.cluster,
        STRONGROOM_ECS_REGION: REGION,
        STRONGROOM_AWS_EMULATOR: moto.endpoint,
        STRONGROOM_LISTEN: listen,
        STRONGROOM_TASKS_DIR: folder,
        STRONGROOM_VAULT_BIN: inject("vaultBinary"),
      },
      stdio: "ignore",
    });
  }
  /** Processes that are in a task's folder. */
  const inTasks = () =>
    readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && cwdOf(pid).startsWith(folder));

  test.each(["SIGTERM", "SIGKILL"] as const)("ended by %s it leaves no task behind", async (signal) => {
    emulator = startEmulator();
    const child = emulator;
    const runtime = new EcsRuntime(awsClients(cell, new RateLimits()));
    const org = newOrgId();
    const Name = `/strongroom/orgs/${org}/unseal-token`;
    await new Inventory(moto.endpoint, cell).ssm.send(
      new PutParameterCommand({ Name, Value: "x", Type: "SecureString", KeyId: cell.parameterKeyArn }),
    );
    const spec = {
      org,
      attempt: 1,
      listen: await runtime.allocate(org),
      config: {
        storage: { inmem: {} },
        listener: { tcp: { address: "{address}:8200", tls_disable: true } },
        disable_mlock: true,
      },
      environment: {},
      files: [{ file: "tls/ca.pem", content: "a certificate" }],
      secrets: [{ environment: "VAULT_TOKEN", parameter: Name }],
      restart: 0,
      reload: 0,
    };
    await eventually("the emulator listens", async () => {
      const answer = await fetch(`http://${listen}`, { method: "POST" }).catch(() => undefined);
      return answer && true;
    });
    await runtime.publish(spec);
    await runtime.waitFor(org, ({ state }) => state === "running", 30_000);
    await eventually("a Vault runs", async () => inTasks().length > 0 || undefined);
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
    await eventually("nothing runs", async () => inTasks().length === 0 || undefined);
    if (signal === "SIGTERM") expect(await readdir(folder)).toEqual([]);
  });
});

function cwdOf(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return "";
  }
}
