import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, inject, test } from "vitest";
import { processIdentity } from "../../services/shared/process/identity.ts";
import { isAlive, until } from "../shared/process/programs.ts";
import { commandLineOf, endAgent, environmentOf, TestPlatform } from "./platform.ts";

let platform: TestPlatform;
beforeEach(async () => {
  platform = await TestPlatform.create(inject("vaultBinary"));
});
afterEach(() => platform.remove());

const recordOf = (org: string) => join(platform.instances, org, "1", "process.json");

test("nothing of the agent's own environment reaches a Vault", async () => {
  platform.agentProcess({
    VAULT_ADDR: "http://127.0.0.1:1",
    VAULT_TOKEN: "stray",
    VAULT_NAMESPACE: "stray",
    VAULT_TRANSIT_SEAL_KEY_NAME: "stray",
    HTTP_PROXY: "http://127.0.0.1:1",
    HOME: "/nonexistent",
  });
  const spec = await platform.plainSpec(undefined, { environment: { VAULT_LOG_LEVEL: "info" } });
  const { pid } = await platform.running(spec);
  expect(environmentOf(pid)).toEqual({
    PATH: "/usr/bin:/bin",
    HOME: join(platform.instances, spec.org, "1"),
    VAULT_LOG_LEVEL: "info",
  });
});

test("SIGTERM ends the Vaults, then the agent, with status 0", async () => {
  const agent = platform.agentProcess();
  const spec = await platform.plainSpec();
  const { pid } = await platform.running(spec);
  expect(await endAgent(agent)).toBe(0);
  expect(isAlive(pid)).toBe(false);
  expect(await platform.runtime.observe(spec.org)).toMatchObject({ state: "stopped" });
});

test("a killed agent's Vaults go on, and the next agent takes them over as they are", async () => {
  const first = platform.agentProcess();
  const [one, two] = [await platform.plainSpec(), await platform.plainSpec()];
  const before = await Promise.all([platform.running(one), platform.running(two)]);
  await endAgent(first, "SIGKILL");
  await sleep(300);
  for (const { pid } of before) expect(isAlive(pid)).toBe(true);

  // What changed while nobody looked is caught up with: one is to be restarted, the other is not.
  await platform.runtime.publish({ ...one, restart: 1 });
  const second = platform.agentProcess();
  const restarted = await platform.whenRunning(one.org, ({ restart }) => restart === 1);
  expect(restarted).toMatchObject({ starts: 2 });
  expect(restarted.pid).not.toBe(before[0].pid);
  expect(isAlive(before[0].pid)).toBe(false);
  expect(isAlive(before[1].pid)).toBe(true);

  process.kill(before[1].pid, "SIGKILL");
  const back = await platform.whenRunning(two.org, ({ pid }) => pid !== before[1].pid);
  expect(back.starts).toBe(2);
  await endAgent(second);
  expect(platform.vaults()).toEqual([]);
});

test("what was withdrawn, or given a new attempt, while no agent lived is ended by the next", async () => {
  const first = platform.agentProcess();
  const [one, two] = [await platform.plainSpec(), await platform.plainSpec()];
  const before = await Promise.all([platform.running(one), platform.running(two)]);
  await endAgent(first, "SIGKILL");
  const removed = platform.runtime.remove(one.org);
  await platform.runtime.publish({ ...two, attempt: 2 });

  platform.agentProcess();
  await removed;
  expect(isAlive(before[0].pid)).toBe(false);
  const next = await platform.whenRunning(two.org, ({ attempt }) => attempt === 2);
  expect(isAlive(before[1].pid)).toBe(false);
  expect(platform.vaults()).toEqual([next.pid]);
});

test("a stranger that was given a Vault's pid lives", async () => {
  const first = platform.agentProcess();
  const spec = await platform.plainSpec();
  const { pid } = await platform.running(spec);
  await endAgent(first, "SIGKILL");
  const record = JSON.parse(readFileSync(recordOf(spec.org), "utf8"));
  process.kill(pid, "SIGKILL");
  await until(() => !isAlive(pid));

  const config = `-config=${join(platform.instances, spec.org, "1", "vault.json")}`;
  const strangers = [
    spawn(
      platform.vaultBinary,
      ["server", "-dev", "-dev-no-store-token", "-dev-listen-address=127.0.0.1:0"],
      {
        env: { HOME: platform.folder },
        stdio: "ignore",
      },
    ),
    spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)", "--", config], { stdio: "ignore" }),
  ] as const;
  try {
    // The same name and even the same start time, or the same path on the command line: never all of them.
    const identity = await processIdentity(strangers[0].pid ?? 0);
    for (const [stranger, startTime] of [
      [strangers[0], record.startTime],
      [strangers[0], identity?.startTime],
      [strangers[1], record.startTime],
    ] as const) {
      await writeFile(recordOf(spec.org), JSON.stringify({ ...record, pid: stranger.pid, startTime }));
      const agent = platform.agentProcess();
      const running = await platform.whenRunning(
        spec.org,
        (now) => now.pid !== undefined && isAlive(now.pid),
      );
      expect(running.pid).not.toBe(stranger.pid);
      expect(await endAgent(agent)).toBe(0);
      expect(isAlive(running.pid)).toBe(false);
      for (const each of strangers) expect(each.exitCode ?? each.signalCode).toBeNull();
    }
  } finally {
    await Promise.all(
      strangers.map((each) => {
        const exit = once(each, "exit");
        each.kill("SIGKILL");
        return exit;
      }),
    );
  }
});

test("a Vault is not taken over by its name, nor by its port", async () => {
  const spec = await platform.plainSpec();
  const config = join(platform.folder, "foreign.json");
  await writeFile(config, JSON.stringify({ ...spec.config, storage: { inmem: {} } }));
  const foreign = spawn(platform.vaultBinary, ["server", `-config=${config}`], {
    env: { HOME: platform.folder },
    stdio: "ignore",
  });
  try {
    await until(() => fetch(`http://${spec.listen}/v1/sys/health`).then(Boolean, () => false));
    const agent = platform.agentProcess();
    await platform.runtime.publish(spec);
    const failing = await platform.runtime.waitFor(
      spec.org,
      ({ starts, lastError }) => starts >= 2 && lastError !== undefined,
      10_000,
    );
    expect(failing.lastError).toContain("address already in use");
    await endAgent(agent);
    expect(foreign.exitCode ?? foreign.signalCode).toBeNull();
    expect(commandLineOf(foreign.pid ?? 0)).toContain(`-config=${config}`);
  } finally {
    const exit = once(foreign, "exit");
    foreign.kill("SIGKILL");
    await exit;
  }
});

test.each([
  ["an unknown setting", { STRONGROOM_AUDIT_MAX: "1" }, "STRONGROOM_AUDIT_MAX: unknown setting"],
  ["a malformed one", { STRONGROOM_AUDIT_KEEP: "many" }, "STRONGROOM_AUDIT_KEEP: "],
  ["no store named", { STRONGROOM_PARAMETERS: "vault" }, "STRONGROOM_PARAMETERS: "],
  ["ssm without a key", { STRONGROOM_PARAMETERS: "ssm" }, "STRONGROOM_SSM_KEY_ID: missing"],
  ["a relative program", { STRONGROOM_VAULT_BIN: "vault" }, "STRONGROOM_VAULT_BIN: "],
])("%s stops the start with a line that says so", async (_, environment, line) => {
  const agent = platform.agentProcess(environment as Record<string, string>);
  let errors = "";
  agent.stderr?.on("data", (chunk) => {
    errors += chunk;
  });
  expect(await once(agent, "close")).toEqual([78, null]);
  expect(errors).toContain(line);
  expect(errors).not.toContain("    at ");
});
