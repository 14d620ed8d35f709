import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, inject, test } from "vitest";
import { newOrgId } from "../../services/shared/org.ts";
import { Secret } from "../../services/shared/secret.ts";
import { isAlive, until } from "../shared/process/programs.ts";
import { commandLineOf, environmentOf, readIfThere, TestPlatform } from "./platform.ts";

let platform: TestPlatform;
beforeEach(async () => {
  platform = await TestPlatform.create(inject("vaultBinary"));
});
afterEach(() => platform.remove());

const at = (...path: string[]) => join(platform.instances, ...path);
const status = async (org: string) => {
  const found = await platform.runtime.observe(org);
  if (!found) throw new Error("no status");
  return found;
};
const answers = (listen: string) =>
  fetch(`http://${listen}/v1/sys/seal-status`).then(
    (response) => response.ok,
    () => false,
  );

test("a published spec becomes a running Vault in a folder of its own", async () => {
  await platform.agent();
  const spec = await platform.plainSpec();
  const running = await platform.running(spec);
  expect(running).toMatchObject({
    org: spec.org,
    attempt: 1,
    starts: 1,
    restart: 0,
    reload: 0,
    lowDisk: false,
  });
  expect(running).not.toHaveProperty("lastError");
  expect(await answers(spec.listen)).toBe(true);
  expect(commandLineOf(running.pid)).toEqual([
    platform.vaultBinary,
    "server",
    `-config=${at(spec.org, "1", "vault.json")}`,
  ]);
  expect(environmentOf(running.pid)).toEqual({ PATH: "/usr/bin:/bin", HOME: at(spec.org, "1") });
  for (const name of ["vault.json", "vault.log", "process.json", "instance.json"]) {
    expect((await stat(at(spec.org, "1", name))).mode & 0o777).toBe(0o600);
  }
  expect((await stat(at(spec.org, "1"))).mode & 0o777).toBe(0o700);
  expect(Date.parse(running.startedAt ?? "")).toBeGreaterThan(Date.now() - 60_000);
});

test("a killed Vault is started again at once", async () => {
  await platform.agent();
  const spec = await platform.plainSpec();
  const { pid } = await platform.running(spec);
  process.kill(pid, "SIGKILL");
  await until(() => !isAlive(pid));
  await until(() => answers(spec.listen));
  const running = await platform.whenRunning(spec.org, (now) => now.pid !== pid);
  expect(running).toMatchObject({ starts: 2, exitCode: null });
  expect(running).not.toHaveProperty("lastError");
});

test("a withdrawn spec ends its Vault, and the storage stays", async () => {
  await platform.agent();
  const spec = await platform.plainSpec();
  const { pid } = await platform.running(spec);
  await platform.runtime.remove(spec.org);
  expect(isAlive(pid)).toBe(false);
  expect(await status(spec.org)).toMatchObject({ state: "stopped", attempt: 1 });
  expect(await status(spec.org)).not.toHaveProperty("pid");
  await stat(at(spec.org, "1", "raft", "vault.db"));

  const again = await platform.running(spec);
  expect(again.pid).not.toBe(pid);
});

test("a spec file that just vanishes ends its Vault too", async () => {
  await platform.agent();
  const spec = await platform.plainSpec();
  const { pid } = await platform.running(spec);
  await rm(at("specs", `${spec.org}.json`));
  await platform.runtime.waitFor(spec.org, ({ state }) => state === "stopped", 10_000);
  expect(isAlive(pid)).toBe(false);
});

test("withdrawing what the agent never saw is confirmed", async () => {
  const spec = await platform.plainSpec();
  await platform.runtime.publish(spec);
  const removed = platform.runtime.remove(spec.org);
  await platform.agent();
  await removed;
  expect(platform.vaults()).toEqual([]);
});

test("a new restart counter means another process, by the new spec", async () => {
  await platform.agent();
  const spec = await platform.plainSpec();
  const first = await platform.running(spec);
  const second = await platform.running({ ...spec, environment: { VAULT_LOG_LEVEL: "warn" }, restart: 1 });
  expect(second.pid).not.toBe(first.pid);
  expect(isAlive(first.pid)).toBe(false);
  expect(environmentOf(second.pid)).toMatchObject({ VAULT_LOG_LEVEL: "warn" });
  expect(second).not.toHaveProperty("exitCode");
});

test("a change that no counter announces waits for the next start", async () => {
  await platform.agent();
  const spec = await platform.plainSpec();
  const { pid } = await platform.running(spec);
  await platform.runtime.publish({ ...spec, environment: { VAULT_LOG_LEVEL: "warn" } });
  await sleep(500);
  expect(await status(spec.org)).toMatchObject({ state: "running", pid });
  process.kill(pid, "SIGKILL");
  const next = await platform.whenRunning(spec.org, (now) => now.pid !== pid);
  expect(environmentOf(next.pid)).toMatchObject({ VAULT_LOG_LEVEL: "warn" });
});

test("a new attempt starts on storage of its own, when the old one has ended", async () => {
  await platform.agent();
  const spec = await platform.plainSpec();
  const first = await platform.running(spec);
  const second = await platform.running({ ...spec, attempt: 2 });
  expect(isAlive(first.pid)).toBe(false);
  expect(second.starts).toBe(1);
  expect(commandLineOf(second.pid)).toContain(`-config=${at(spec.org, "2", "vault.json")}`);
  await stat(at(spec.org, "1", "raft", "vault.db"));
  await stat(at(spec.org, "2", "raft", "vault.db"));
});

test("secrets reach the environment and 0600 files, anew at every start, and nothing else", async () => {
  await platform.agent();
  await platform.parameters.put("/p/token", new Secret("canary-token-1"));
  await platform.parameters.put("/p/key", new Secret("canary-key"));
  const spec = await platform.plainSpec(undefined, {
    environment: { PLAIN: "plain" },
    secrets: [
      { environment: "VAULT_TOKEN", parameter: "/p/token" },
      { file: "tls/key.pem", parameter: "/p/key" },
    ],
  });
  const first = await platform.running(spec);
  const home = { PATH: "/usr/bin:/bin", HOME: at(spec.org, "1") };
  expect(environmentOf(first.pid)).toEqual({ ...home, PLAIN: "plain", VAULT_TOKEN: "canary-token-1" });
  expect(await readFile(at(spec.org, "1", "tls", "key.pem"), "utf8")).toBe("canary-key");
  expect((await stat(at(spec.org, "1", "tls", "key.pem"))).mode & 0o777).toBe(0o600);
  expect(commandLineOf(first.pid).join(" ")).not.toContain("canary");

  await platform.parameters.put("/p/token", new Secret("canary-token-2"));
  process.kill(first.pid, "SIGKILL");
  const second = await platform.whenRunning(spec.org, (now) => now.pid !== first.pid);
  expect(environmentOf(second.pid)).toMatchObject({ VAULT_TOKEN: "canary-token-2" });

  const seen = [
    platform.log,
    JSON.stringify(await status(spec.org)),
    ...["vault.json", "vault.log", "process.json"].map((name) => readIfThere(at(spec.org, "1", name))),
  ];
  expect(seen.join()).not.toContain("canary");
});

test("a missing parameter is said, and mended without a change of the spec", async () => {
  await platform.agent();
  const spec = await platform.plainSpec(undefined, {
    secrets: [{ environment: "VAULT_TOKEN", parameter: "/p/token" }],
  });
  await platform.runtime.publish(spec);
  const failing = await platform.runtime.waitFor(spec.org, ({ state }) => state === "backoff", 10_000);
  expect(failing.lastError).toBe("the parameter /p/token is missing");
  await platform.parameters.put("/p/token", new Secret("there now"));
  const running = await platform.whenRunning(spec.org);
  expect(running).not.toHaveProperty("lastError");

  await platform.parameters.delete("/p/token");
  await platform.runtime.publish({ ...spec, restart: 1 });
  const again = await platform.runtime.waitFor(spec.org, ({ state }) => state === "backoff", 10_000);
  expect(again).toMatchObject({ restart: 1, lastError: "the parameter /p/token is missing" });
});

test("a Vault that cannot start says so in its own words, and is tried less and less often", async () => {
  await platform.agent();
  const taken = createServer();
  const spec = await platform.plainSpec();
  const port = Number(spec.listen.split(":")[1]);
  await new Promise<void>((resolve) => taken.listen(port, "127.0.0.1", resolve));
  try {
    await platform.runtime.publish(spec);
    const failing = await platform.runtime.waitFor(spec.org, ({ starts }) => starts >= 3, 20_000);
    expect(failing).toMatchObject({ exitCode: 1 });
    expect(failing.lastError).toContain("address already in use");
    expect(failing.lastError).not.toContain("\n");
  } finally {
    taken.close();
  }
  const running = await platform.whenRunning(spec.org);
  expect(running).not.toHaveProperty("lastError");
});

test("a bad spec stops nobody, not even the organization's own running Vault", async () => {
  await platform.agent();
  const good = await platform.plainSpec();
  const bad = await platform.plainSpec();
  const [one, two] = await Promise.all([platform.running(good), platform.running(bad)]);

  await writeFile(at("specs", `${bad.org}.json`), '{"org": ');
  const refused = await platform.runtime.waitFor(bad.org, ({ lastError }) => lastError !== undefined, 10_000);
  expect(refused).toMatchObject({ state: "running", pid: two.pid });
  expect(refused.lastError).toMatch(/the spec is refused: .*not valid JSON/);

  const late = newOrgId();
  await platform.runtime.publish(await platform.plainSpec(late, { listen: good.listen }));
  const clash = await platform.runtime.waitFor(late, ({ lastError }) => lastError !== undefined, 10_000);
  expect(clash).toMatchObject({ state: "stopped", starts: 0 });
  expect(clash.lastError).toContain(`${good.org}'s`);

  await sleep(300);
  expect(await status(good.org)).toMatchObject({ state: "running", pid: one.pid });
  expect(await status(good.org)).not.toHaveProperty("lastError");
  expect(platform.vaults()).toHaveLength(2);

  await platform.runtime.publish(bad);
  await platform.runtime.waitFor(bad.org, ({ lastError }) => lastError === undefined, 10_000);
  expect((await status(bad.org)).pid).toBe(two.pid);
});

test("one organization's Vault that will not end holds up no other", async () => {
  await platform.agent({ graceMs: 6_000 });
  const [slow, quick] = [await platform.plainSpec(), await platform.plainSpec()];
  const [one, two] = await Promise.all([platform.running(slow), platform.running(quick)]);
  process.kill(one.pid, "SIGSTOP");
  await platform.runtime.publish({ ...slow, restart: 1 });
  process.kill(two.pid, "SIGKILL");
  await platform.whenRunning(quick.org, (now) => now.pid !== two.pid);
  expect(isAlive(one.pid)).toBe(true);
  const again = await platform.whenRunning(slow.org, (now) => now.restart === 1);
  expect(again.pid).not.toBe(one.pid);
  expect(isAlive(one.pid)).toBe(false);
});

test("storage of another organization, or set aside, is not started", async () => {
  await platform.agent();
  const spec = await platform.plainSpec();
  await mkdir(at(spec.org, "1", "raft"), { recursive: true });
  await writeFile(at(spec.org, "1", "instance.json"), JSON.stringify({ org: newOrgId(), attempt: 1 }));
  await platform.runtime.publish(spec);
  const foreign = await platform.runtime.waitFor(spec.org, ({ state }) => state === "backoff", 10_000);
  expect(foreign.lastError).toContain("the storage is marked as that of");

  await platform.runtime.setAside(spec.org, 2, "crashed between init and its record");
  await platform.runtime.publish({ ...spec, attempt: 2 });
  const aside = await platform.runtime.waitFor(
    spec.org,
    ({ state, attempt }) => state === "backoff" && attempt === 2,
    10_000,
  );
  expect(aside.lastError).toContain("the storage was set aside");
  expect(platform.vaults()).toEqual([]);
});

test("a Vault that hangs is reported", async () => {
  await platform.agent({ graceMs: 200 });
  const spec = await platform.plainSpec();
  const { pid } = await platform.running(spec);
  process.kill(pid, "SIGSTOP");
  const hung = await platform.runtime.waitFor(spec.org, ({ lastError }) => lastError !== undefined, 10_000);
  expect(hung).toMatchObject({ state: "running", pid });
  expect(hung.lastError).toContain("it does not answer");
  process.kill(pid, "SIGCONT");
  await platform.runtime.waitFor(spec.org, ({ lastError }) => lastError === undefined, 10_000);
});

test("little free space is reported while it lasts", async () => {
  await platform.agent({ lowDiskBytes: Number.MAX_SAFE_INTEGER });
  const spec = await platform.plainSpec();
  await platform.running(spec);
  await platform.runtime.waitFor(spec.org, ({ lowDisk }) => lowDisk, 10_000);
  expect(platform.log).toContain("running full");
});

test("closing ends every Vault and says so", async () => {
  const agent = await platform.agent();
  const specs = [await platform.plainSpec(), await platform.plainSpec()];
  await Promise.all(specs.map((spec) => platform.running(spec)));
  await agent.close();
  expect(platform.vaults()).toEqual([]);
  for (const { org } of specs) expect(await status(org)).toMatchObject({ state: "stopped" });

  await platform.agent();
  for (const { org } of specs) expect(await platform.whenRunning(org)).toMatchObject({ starts: 2 });
});

test("a status that could not be written is written when it can be", async () => {
  await platform.agent();
  const spec = await platform.plainSpec();
  const obstacle = at("status", `${spec.org}.json`);
  await mkdir(obstacle);
  await platform.runtime.publish(spec);
  await until(() => platform.log.includes("the status cannot be written"));
  await until(() => answers(spec.listen));
  await rm(obstacle, { recursive: true });
  await platform.whenRunning(spec.org);
});
