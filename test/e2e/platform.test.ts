import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { maintainLogin, signIn } from "../../services/cli/platform/maintain.ts";
import { SERVICES, StateFolder } from "../../services/cli/platform/state-folder.ts";
import { killEverything } from "../../services/cli/platform/survivors.ts";
import type { OrgView } from "../../services/shared/api/orgs.ts";
import { makeFolder } from "../../services/shared/files.ts";
import { instanceFolder } from "../../services/shared/process/instance-folders.ts";
import {
  LAUNCHER,
  type Platform,
  type PlatformOptions,
  spawnUp,
  startPlatform,
} from "../harness/platform.ts";

let state: StateFolder;

beforeEach(async () => {
  state = new StateFolder(await mkdtemp(join(tmpdir(), "strongroom-e2e-")));
});
afterEach(async () => {
  await killEverything(state);
  await rm(state.path, { recursive: true, maxRetries: 5 });
});

const start = (options: PlatformOptions = {}) => startPlatform({ stateDir: state.path, ...options });

/** Command lines of living processes that name the state folder. */
function processes(): string[] {
  const lines = execFileSync("ps", ["-ww", "-eo", "pid=,stat=,args="], { encoding: "utf8" }).split("\n");
  return lines.filter((line) => line.includes(state.path) && !/^\s*\d+\s+Z/.test(line));
}

async function call(platform: Platform, method: string, groups: string[], body?: object) {
  const token = await platform.token({ org: "org_acme", groups });
  const response = await fetch(`${platform.gateway}/v1/secret/data/app/db`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body && { "content-type": "application/json" }) },
    ...(body && { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(10_000),
  });
  const answer = (await response.json()) as { data?: { data?: object } };
  return { status: response.status, data: answer.data?.data };
}
const write = (platform: Platform, value: string) =>
  call(platform, "POST", ["writer"], { data: { value } }).then(({ status }) => expect(status).toBe(200));
const read = (platform: Platform) => call(platform, "GET", []);

test("stopped and started again, every secret is still there and nothing was left running between", async () => {
  const first = await start();
  await first.createOrg("acme", "org_acme");
  await write(first, "kept");
  await first.stop();
  expect(processes()).toEqual([]);
  expect(await state.platform()).toBeUndefined();

  const second = await start();
  expect(second.stderr()).toContain("1 unsealed");
  expect(await read(second)).toEqual({ status: 200, data: { value: "kept" } });
  await second.stop();
  expect(processes()).toEqual([]);
});

test("off for longer than the unseal tokens live, every secret is still there; while up, they are renewed", async () => {
  const first = await start({ unsealTokenPeriodSeconds: 5 });
  const acme = await first.createOrg("acme", "org_acme");
  await write(first, "kept");
  await sleep(7_000);
  const { instance } = await first.client.org(acme.id);
  process.kill(instance?.pid ?? 0, "SIGKILL");
  await expect.poll(() => read(first)).toEqual({ status: 200, data: { value: "kept" } });
  await first.stop();

  await sleep(7_000);
  const second = await start();
  expect(await read(second)).toEqual({ status: 200, data: { value: "kept" } });
  await second.stop();
});

test("after a kill -9 of it, the next start takes the Vaults over, ends the rest, and leaves no orphan", async () => {
  const first = await start();
  const acme = await first.createOrg("acme", "org_acme");
  await write(first, "kept");
  const [vault, gateway, internal] = [
    (await first.client.org(acme.id)).instance?.pid,
    await first.servicePid("gateway"),
    await first.servicePid("internal-vault"),
  ];
  await first.kill();
  expect(await read(first)).toEqual({ status: 200, data: { value: "kept" } });

  const second = await start();
  expect(second.stderr()).toMatch(/Ended processes left by a killed start: .*gateway/);
  expect((await second.client.org(acme.id)).instance?.pid).toBe(vault);
  expect(await second.servicePid("internal-vault")).toBe(internal);
  expect(await second.servicePid("gateway")).not.toBe(gateway);
  expect(await read(second)).toEqual({ status: 200, data: { value: "kept" } });
  await second.stop();
  expect(processes()).toEqual([]);
});

test("a foreign process that got a recorded pid lives on", async () => {
  const foreign = spawn("sleep", ["300"]);
  const exited = once(foreign, "exit");
  const record = (marker: string) =>
    JSON.stringify({ pid: foreign.pid, startTime: "boot/1", marker, startedAt: new Date().toISOString() });
  const instance = instanceFolder(state.instances, "oaaaaaaaaaaaaaaa", 1);
  await makeFolder(instance.dir);
  await writeFile(instance.process, record(instance.config));
  for (const name of SERVICES) {
    await makeFolder(dirname(state.processFile(name)));
    await writeFile(state.processFile(name), record(state.envFile(name)));
  }
  await writeFile(state.processFile("internal-vault"), record(state.at("internal-vault", "vault.json")));
  try {
    const platform = await start();
    await platform.stop();
    await killEverything(state);
    expect(foreign.exitCode).toBeNull();
    expect(foreign.signalCode).toBeNull();
  } finally {
    foreign.kill();
    await exited;
  }
});

test("a taken port is said before anything starts, with the option that takes another", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const { port } = taken.address() as { port: number };
  try {
    const { child, stderr, ended } = spawnUp(state.path, { gatewayPort: port });
    await ended;
    expect(child.exitCode).toBe(69);
    expect(stderr()).toBe(
      `Error: The gateway's port ${port} is in use by another process\n` +
        "Stop that process, or choose another port: --gateway-port N (0: any free port)\n",
    );
    expect(processes()).toEqual([]);
  } finally {
    await new Promise((resolve) => taken.close(resolve));
  }
});

test("Ctrl-C, which a terminal sends to all of its processes, ends everything in order, with status 0", async () => {
  const { child, stderr, ended } = spawnUp(state.path, {}, { detached: true });
  await expect.poll(() => state.platform(), { timeout: 60_000 }).toBeDefined();
  process.kill(-(child.pid ?? 0), "SIGINT");
  process.kill(-(child.pid ?? 0), "SIGINT");
  await ended;
  expect(child.exitCode).toBe(0);
  const stopped = [...stderr().matchAll(/^Stopping (\S+): stopped/gm)].map(([, name]) => name);
  expect(stopped).toEqual([
    ...["intake", "worker-integration", "worker-webhook", "worker-feed", "worker-broker"],
    ...["gateway", "control-plane", "agent", "identity-provider", "internal-vault"],
  ]);
  expect(processes()).toEqual([]);
});

test("Ctrl-C in the middle of a start ends what was up until then", async () => {
  const { child, stderr, ended } = spawnUp(state.path);
  await expect.poll(stderr, { timeout: 60_000 }).toContain("Starting control-plane");
  child.kill("SIGINT");
  await ended;
  expect(child.exitCode).toBe(0);
  expect(processes()).toEqual([]);
});

test("a second Ctrl-C kills what is left", async () => {
  const { child, stderr, ended } = spawnUp(state.path);
  await expect.poll(() => state.platform(), { timeout: 60_000 }).toBeDefined();
  const pid = JSON.parse(await readFile(state.processFile("gateway"), "utf8")).pid;
  // A stopped process does not answer SIGTERM.
  process.kill(pid, "SIGSTOP");
  child.kill("SIGINT");
  await expect.poll(stderr).toContain("Press Ctrl-C again to kill the remaining processes.");
  await sleep(1_500); // one that comes sooner counts as the same
  child.kill("SIGINT");
  await ended;
  expect(child.exitCode).toBe(130);
  expect(processes()).toEqual([]);
});

describe("one that runs", () => {
  let folder: string;
  let platform: Platform;
  let acme: OrgView;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "strongroom-e2e-"));
    platform = await startPlatform({ stateDir: folder });
    acme = await platform.createOrg("acme", "org_acme");
  });
  afterAll(async () => {
    await platform?.stop();
    await rm(folder, { recursive: true, maxRetries: 5 });
  });

  test("refuses a second one on its folder, and goes on", async () => {
    const { child, stderr, ended } = spawnUp(folder);
    await ended;
    expect(child.exitCode).toBe(4);
    expect(stderr()).toContain(
      `A platform is already running with the state folder ${folder} (pid ${platform.pid})`,
    );
    expect((await fetch(`${platform.gateway}/v1/sys/health`)).status).toBe(200);
  });

  test("has an org's killed Vault back with its secrets within seconds", async () => {
    await write(platform, "kept");
    process.kill((await platform.client.org(acme.id)).instance?.pid ?? 0, "SIGKILL");
    await expect.poll(() => read(platform)).toMatchObject({ status: 200 });
  });

  test("with the internal Vault down, serves on; once it is back, all is as before", async () => {
    await write(platform, "kept");
    const { instance } = await platform.client.org(acme.id);
    const internal = await platform.servicePid("internal-vault");
    process.kill(internal, "SIGSTOP");
    const until = Date.now() + 5_000;
    while (Date.now() < until) {
      expect(await read(platform)).toEqual({ status: 200, data: { value: "kept" } });
      await sleep(250);
    }
    await write(platform, "changed");
    process.kill(internal, "SIGKILL");
    await expect.poll(platform.stderr).toContain("internal Vault: unsealed again");
    await platform.createOrg("globex", "org_globex");
    expect(await read(platform)).toEqual({ status: 200, data: { value: "changed" } });
    expect((await platform.client.org(acme.id)).instance?.pid).toBe(instance?.pid);
  });

  test("lets its operator repair what was changed in an org's Vault", async () => {
    const hands = await maintainLogin(platform, await signIn(platform), acme);
    await hands.write("sys/policies/acl/stranger", { policy: 'path "secret/*" { capabilities = ["read"] }' });
    await hands.delete("sys/policies/acl/writer");
    const strongroom = async (...args: string[]) =>
      promisify(execFile)(process.execPath, [LAUNCHER, ...args, "--state", folder], { encoding: "utf8" });
    const first = await strongroom("org", "repair", "acme", "--json");
    expect(JSON.parse(first.stdout).left).toEqual([]);
    expect(JSON.parse(first.stdout).repaired).toContain("sys/policies/acl/stranger is not expected");
    expect((await strongroom("org", "repair", "acme")).stderr).toBe("acme has no drift\n");
    await write(platform, "kept");
  });
});

test("the demo shows the main job, and ends at Ctrl-C", async () => {
  const { child, stderr, ended } = spawnUp(state.path, { demo: true });
  await expect.poll(stderr, { timeout: 90_000 }).toContain("Press Ctrl-C to stop everything");
  const text = stderr();
  expect(text).toMatch(/Onboarding acme.*revoke-root.*acme has a Vault of its own.*Onboarding globex/s);
  expect(text).toMatch(/acme writes.*?POST .* 200 {2}\{"version":1\}/s);
  expect(text).toMatch(/acme reads.*?GET .* 200 {2}\{"password":"s3cret"\}/s);
  expect(text).toMatch(/globex reads.*?GET .* 404 /s);
  expect(text).toMatch(/straight to acme's Vault.*?400 .*org_id/s);
  expect(text).toMatch(/stores a key of a provider.*?PUT \/v1\/credentials\/provider-key {2}version 1/s);
  expect(text).toMatch(
    /A job uses it.*?GET \/v1\/me {2}200 {2}\{"account":"acct_[0-9a-f]+","key":"[0-9a-f]+"\}/s,
  );
  expect(text).toMatch(
    /comes back without it.*?GET \/v1\/echo {2}200 .*\(the key was removed [2-9] times\)/s,
  );
  expect(text).toMatch(/globex sees nothing of it.*?GET \/v1\/credentials\/provider-key {2}404/s);
  expect(text).toMatch(
    /datakey\/plaintext\/integration {2}200\n.*decrypt\/integration {2}403 {2}permission denied\n/,
  );
  expect(text).toMatch(
    /An app team.*?GET \/v1\/use\/provider-admin\/v1\/me {2}200 {2}\{"account":"acct_.*\(receipt /s,
  );
  expect(text).toMatch(/It does not come back.*?\{"authorization":"Bearer \[removed\]"\}/s);
  expect(text).toMatch(/POST \/v1\/use\/provider-admin\/v1\/keys {2}403 {2}use_not_allowed/);
  expect(text).toMatch(/ [1-9]\d* calls meanwhile, 0 failed; keys used: first, then [0-9a-f]{12}\n/);
  const [, intents, completions] =
    /none changed or missing: (\d+) intents, (\d+) completions/.exec(text) ?? [];
  expect(Number(intents)).toBeGreaterThan(3);
  expect(completions).toBe(intents);
  expect(text).not.toMatch(/\bsk_[A-Za-z0-9_-]{24}/);
  expect(text).toMatch(/kill -9 \d+/);
  child.kill("SIGINT");
  await ended;
  expect(child.exitCode).toBe(0);
  expect(processes()).toEqual([]);
});
