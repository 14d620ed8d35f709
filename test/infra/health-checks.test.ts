import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CloudWatchLogsClient, CreateLogGroupCommand } from "@aws-sdk/client-cloudwatch-logs";
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from "vitest";
import type { Task } from "../../services/agent/ecs/task.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { Secret } from "../../services/shared/secret.ts";
import { type VaultClient, vaultClient } from "../../services/shared/vault/client.ts";
import { sealStatus } from "../../services/shared/vault/init.ts";
import { isTokenAlive } from "../../services/shared/vault/tokens.ts";
import { eventually } from "../control-plane/stage.ts";
import { clientOf } from "../harness/aws/cell.ts";
import { collectLog } from "../harness/aws/collect-log.ts";
import { startConnectProxy } from "../harness/aws/connect-proxy.ts";
import { describeOnAws } from "../harness/aws/describe.ts";
import { startIssuer, type TestIssuer } from "../harness/tokens.ts";
import { pgpKeys, startEmptyVault } from "../harness/vault.ts";
import { type PlatformTask, PlatformTasks } from "./platform-tasks.ts";
import { givenSettings } from "./synthesized.ts";

/** As many as the template has. After one is initialized, the others take seconds to unseal. */
const NODES = 3;
/** ECS counts no failure in the first minute; what is well by then is never replaced while it starts. */
const WELL_WITHIN_MS = 60_000;

/** Commands for an operator's task in docs/aws.md, as they stand there; for a memory and an image of its own. */
async function commandsOfTheGuide(memory: string, which: RegExp): Promise<string> {
  const guide = await readFile(new URL("../../docs/aws.md", import.meta.url), "utf8");
  const blocks = [...guide.matchAll(/^```sh\n(.*?)^```/gms)].map(([, block = ""]) => block);
  const commands = blocks.filter((block) => which.test(block));
  expect(commands).not.toEqual([]);
  return commands.join("").replace("cd /strongroom; ", "").replaceAll("/dev/shm", memory);
}

describeOnAws("the platform's own tasks, as the template has them", () => {
  let tasks: PlatformTasks;
  let ca: string;
  let issuer: TestIssuer;
  let signer: { root: VaultClient; stop(): Promise<void> };
  const started = new Map<PlatformTask, Task>();

  /** A certificate for the internal Vault's name, by an authority that does nothing else. */
  async function issue(ttl: string): Promise<void> {
    const { data } = (await signer.root.write("pki/issue/internal-vault", {
      common_name: tasks.hostOf("internal-vault"),
      ttl,
    })) as { data: { certificate: string; private_key: string; issuing_ca: string } };
    ca = data.issuing_ca;
    await tasks.publish("internal-vault/ca", ca);
    await tasks.publish("internal-vault/tls-certificate", data.certificate, "SecureString");
    await tasks.publish("internal-vault/tls-key", data.private_key, "SecureString");
  }

  async function run(name: PlatformTask): Promise<Task> {
    const task = tasks.start(name);
    started.set(name, task);
    await eventually(`${name} runs`, async () => {
      if (task.lastStatus === "STOPPED") expect.fail(`${name}: ${task.stoppedReason}`);
      return task.lastStatus === "RUNNING" || undefined;
    });
    return task;
  }

  const isWell = async (task: Task) => {
    const begun = performance.now();
    while (
      task.health !== "HEALTHY" &&
      task.lastStatus !== "STOPPED" &&
      performance.now() - begun < WELL_WITHIN_MS
    ) {
      await new Promise((done) => setTimeout(done, 250));
    }
    return { health: task.health, status: task.lastStatus, why: task.stoppedReason && tasks.log };
  };
  const WELL = { health: "HEALTHY", status: "RUNNING", why: undefined };
  const at = (name: PlatformTask, port: number, path: string) =>
    fetch(`http://${started.get(name)?.address}:${port}${path}`).then(
      ({ status }) => status,
      () => 0,
    );
  const internal = (token?: Secret, timeoutMs?: number) =>
    vaultClient(
      {
        address: `https://${started.get("internal-vault")?.address}:8200`,
        ca,
        serverName: tasks.hostOf("internal-vault"),
      },
      token && (() => token),
      timeoutMs,
    );

  beforeAll(async () => {
    const vaultBinary = inject("vaultBinary");
    tasks = await PlatformTasks.open({ emulator: inject("moto"), vaultBinary });
    issuer = await startIssuer();
    signer = await startEmptyVault(vaultBinary);
    await signer.root.write("sys/mounts/pki", { type: "pki" });
    await signer.root.write("pki/root/generate/internal", { common_name: "internal", key_type: "ec" });
    await signer.root.write("pki/roles/internal-vault", {
      allowed_domains: tasks.hostOf("internal-vault"),
      allow_bare_domains: true,
      key_type: "ec",
    });
    await issue("1h");
  }, 120_000);
  afterAll(async () => {
    await tasks?.close();
    await signer?.stop();
    await issuer?.close();
  }, 60_000);

  test("nodes of the internal Vault are well over TLS before it is initialized, and stay so", async () => {
    const nodes: Task[] = [];
    while (nodes.length < NODES) nodes.push(await run("internal-vault"));
    for (const node of nodes) expect(await isWell(node)).toEqual(WELL);
    expect(await sealStatus(internal())).toMatchObject({ sealed: true });
  });

  test("the guide's commands in the operator's task initialize it over TLS and bring it into its form", async () => {
    const operator = await run("operator");
    const memory = join(operator.folder, "memory");
    const state = join(memory, "state");
    const keys = await pgpKeys(4);
    const paste = async (file: string, key = "") => {
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, key);
    };
    for (const n of [1, 2, 3]) await paste(join(memory, `${n}.asc`), keys[n]);
    await paste(join(state, "control-plane", "recovery-key.pub.asc"), keys[0]);
    // In place of the VPC's resolver, for Vault's command line.
    const { url, close } = await startConnectProxy((host) =>
      host === tasks.hostOf("internal-vault") ? started.get("internal-vault")?.address : undefined,
    );
    onTestFinished(close);

    const { status, output } = await tasks.exec(
      operator,
      ...[
        "bash",
        "-euc",
        `export VAULT_PROXY_ADDR=${url}\n${await commandsOfTheGuide(memory, /^cd \/strongroom;|^vault operator init /)}`,
      ],
    );
    expect(output).toContain(`at https://${tasks.hostOf("internal-vault")}:8200 is in its form.`);
    expect(status).toBe(0);
    const { root_token } = JSON.parse(await readFile(join(memory, "init.json"), "utf8"));
    expect(await isTokenAlive(internal(new Secret(root_token)))).toBe(false);

    // The control plane's login is in the parameter store by now; what is public an operator puts there.
    for (const [name, file] of Object.entries({
      ca: "gateway/ca.pem",
      "directory-key": "gateway/directory-key.pem",
      "ownership-key": "gateway/ownership-key.pem",
      "recovery-key": "control-plane/recovery-key.pub.asc",
    })) {
      await tasks.publish(name, await readFile(join(state, file), "utf8"));
    }
    await tasks.publish("issuers", JSON.stringify([issuer.issuer]));
  });

  test("a gateway that is there before the control plane lives, and is not ready", async () => {
    const gateway = await run("gateway");
    expect(await isWell(gateway)).toEqual(WELL);
    expect(await at("gateway", 8200, "/v1/sys/health")).toBe(503);
  });

  test("the control plane is well and ready, and the gateway ready then", async () => {
    const controlPlane = await run("control-plane");
    expect(await isWell(controlPlane)).toEqual(WELL);
    await eventually(
      "it is ready",
      async () => (await at("control-plane", 8280, "/v1/ready")) === 200 || undefined,
    );
    await eventually(
      "the gateway is ready",
      async () => (await at("gateway", 8200, "/v1/sys/health")) === 200 || undefined,
    );
  });

  test("the guide's verification in the operator's task finds the trail in what the nodes have written", async () => {
    const token = issuer.token({
      ...{ aud: givenSettings().operatorAudience, org_id: undefined, sub: "operator|grace" },
      permissions: ["orgs:delete", "audit:read"],
    });
    const { status } = await fetch(
      `http://${started.get("control-plane")?.address}:8280/v1/orgs/${newOrgId()}`,
      { method: "DELETE", headers: { Authorization: `Bearer ${token}` } },
    );
    expect(status).toBe(404);

    const logs = new CloudWatchLogsClient(clientOf(tasks.moto.endpoint));
    const logGroupName = "/strongroom/platform/internal-vault";
    await logs.send(new CreateLogGroupCommand({ logGroupName }));
    for (const { id, folder } of tasks.all("internal-vault")) {
      const lines = (await readFile(join(folder, "log"), "utf8")).trimEnd().split("\n");
      await collectLog(logs, logGroupName, `internal-vault/internal-vault/${id}`, lines);
    }
    const operator = started.get("operator");
    if (!operator) throw new Error("no operator's task runs");
    const memory = join(operator.folder, "memory");
    await writeFile(join(memory, "token"), token, { mode: 0o600 });
    const command = await commandsOfTheGuide(memory, / audit verify /);
    const verified = await tasks.exec(operator, "bash", "-euc", command);
    // The answer's own entry comes behind the answer.
    expect(verified.output).toMatch(/^[12] entries, none changed, none missing\n1 to [12] are as/m);
    expect(verified.status).toBe(0);
  });

  test("a node whose certificate has ended is not killed: that would help nobody", async () => {
    await issue("15s");
    const task = await run("internal-vault");
    expect(await isWell(task)).toEqual(WELL);
    await eventually("it has ended", async () => {
      const code = await sealStatus(internal()).then(
        () => "",
        (error: { code: string }) => error.code,
      );
      return code === "CERT_HAS_EXPIRED" || undefined;
    });
    expect(await task.checkHealth()).toBe(0);
  });

  test("a control plane whose internal Vault is gone lives on, and is not ready", async () => {
    for (const task of tasks.all("internal-vault")) {
      task.kill("UserInitiated", "by the test");
      await task.ended;
    }
    await eventually(
      "it says so",
      async () => (await at("control-plane", 8280, "/v1/ready")) === 503 || undefined,
    );
    expect(await started.get("control-plane")?.checkHealth()).toBe(0);
  });
});
