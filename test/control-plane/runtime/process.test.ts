import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ProcessRuntime } from "../../../services/control-plane/runtime/process.ts";
import type { InstanceSpec, InstanceStatus } from "../../../services/shared/instance-spec.ts";
import { newOrgId } from "../../../services/shared/org.ts";

let instances: string;
let runtime: ProcessRuntime;
let org: string;
beforeEach(async () => {
  instances = await mkdtemp(join(tmpdir(), "strongroom-runtime-"));
  runtime = new ProcessRuntime(instances, { removeTimeoutMs: 300 });
  org = newOrgId();
});
afterEach(() => rm(instances, { recursive: true }));

const spec = (change: Partial<InstanceSpec> = {}): InstanceSpec => ({
  org,
  attempt: 1,
  listen: "127.0.0.1:20000",
  config: {},
  environment: {},
  secrets: [],
  restart: 0,
  reload: 0,
  ...change,
});

const status = (change: Partial<InstanceStatus> = {}): InstanceStatus => ({
  org,
  attempt: 1,
  state: "starting",
  starts: 1,
  restart: 0,
  reload: 0,
  lowDisk: false,
  updatedAt: new Date().toISOString(),
  ...change,
});

async function report(change: Partial<InstanceStatus>) {
  await mkdir(join(instances, "status"), { recursive: true });
  const path = join(instances, "status", `${org}.json`);
  await writeFile(`${path}.tmp`, JSON.stringify(status(change)));
  await rename(`${path}.tmp`, path);
}

test("an address is a free even port of its range, with the next one free", async () => {
  for (let round = 0; round < 20; round++) {
    const [host, port] = (await runtime.allocate(newOrgId())).split(":");
    expect(host).toBe("127.0.0.1");
    expect(Number(port) % 2).toBe(0);
    expect(Number(port)).toBeGreaterThanOrEqual(20_000);
    expect(Number(port)).toBeLessThanOrEqual(31_998);
  }
});

test("addresses given out at once, or published, are not given out again", async () => {
  const published = new Set<string>();
  for (let batch = 0; batch < 4; batch++) {
    const orgs = Array.from({ length: 40 }, newOrgId);
    const addresses = await Promise.all(orgs.map((each) => runtime.allocate(each)));
    expect(new Set(addresses).size).toBe(addresses.length);
    for (const [index, each] of orgs.entries()) {
      const listen = addresses[index] ?? "";
      expect(published).not.toContain(listen);
      published.add(listen);
      await runtime.publish(spec({ org: each, listen }));
    }
  }
});

test("ports that something listens on are not given out", async () => {
  const servers = [];
  const taken = new Set<number>();
  for (let port = 20_001; taken.size < 300 && port < 31_998; port += 2) {
    const server = createServer();
    const bound = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!bound) continue;
    servers.push(server);
    taken.add(port - 1);
  }
  try {
    for (let round = 0; round < 100; round++) {
      const port = Number((await runtime.allocate(newOrgId())).split(":")[1]);
      expect(taken).not.toContain(port);
    }
  } finally {
    for (const server of servers) server.close();
  }
});

test("a spec is published whole, for the owner alone, and replaced", async () => {
  await runtime.publish(spec());
  await runtime.publish(spec({ restart: 1 }));
  const path = join(instances, "specs", `${org}.json`);
  expect(JSON.parse(await readFile(path, "utf8"))).toEqual(spec({ restart: 1 }));
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(join(instances, "specs"))).toEqual([`${org}.json`]);
});

test("a status is what the agent wrote; none, or one that is damaged, is undefined", async () => {
  expect(await runtime.observe(org)).toBeUndefined();
  await report({ state: "running", pid: 4711 });
  expect(await runtime.observe(org)).toMatchObject({ state: "running", pid: 4711 });
  await writeFile(join(instances, "status", `${org}.json`), '{"state": "running"}');
  expect(await runtime.observe(org)).toBeUndefined();
});

test("waiting ends soon after the status is as it should be", async () => {
  const waiting = runtime.waitFor(org, ({ state }) => state === "running", 10_000);
  await report({ state: "starting" });
  await report({ state: "running" });
  const begun = performance.now();
  expect(await waiting).toMatchObject({ state: "running" });
  expect(performance.now() - begun).toBeLessThan(3_000);
});

test("waiting too long fails with the last reason known", async () => {
  const never = () => runtime.waitFor(org, () => false, 50);
  await expect(never()).rejects.toMatchObject({
    code: "step_timeout",
    message: expect.stringContaining("is it running?"),
  });
  await report({ state: "backoff", lastError: "permission denied" });
  await expect(never()).rejects.toMatchObject({
    code: "step_timeout",
    message: expect.stringContaining("it is backoff: permission denied"),
  });
});

test("waiting can be called off", async () => {
  const abort = new AbortController();
  const waiting = runtime.waitFor(org, () => false, 10_000, abort.signal);
  const reason = new Error("the service is closing");
  setTimeout(() => abort.abort(reason), 20);
  await expect(waiting).rejects.toBe(reason);
});

test("removing waits until the agent has confirmed it", async () => {
  await runtime.publish(spec());
  let confirmed = false;
  const removed = runtime.remove(org).then(() => confirmed);
  const withdrawn = join(instances, "specs", `${org}.withdrawn`);
  await expect.poll(() => readdir(join(instances, "specs"))).toEqual([`${org}.withdrawn`]);
  confirmed = true;
  await rm(withdrawn);
  expect(await removed).toBe(true);
  await runtime.remove(org);
});

test("removing without an agent fails, stays withdrawn, and can be waited for again", async () => {
  await runtime.publish(spec());
  await expect(runtime.remove(org)).rejects.toMatchObject({ code: "step_timeout" });
  await expect(runtime.remove(org)).rejects.toMatchObject({ code: "step_timeout" });
  expect(await readdir(join(instances, "specs"))).toEqual([`${org}.withdrawn`]);
  await rm(join(instances, "specs", `${org}.withdrawn`));
  await runtime.remove(org);
});

test("removing what was never published is no error", async () => {
  await runtime.remove(org);
});

test("storage with a ready marker is set aside only as deleted", async () => {
  expect(await runtime.hasReadyMarker(org, 1)).toBe(false);
  await runtime.markReady(org, 1);
  await runtime.markReady(org, 1);
  expect(await runtime.hasReadyMarker(org, 1)).toBe(true);
  expect(await runtime.hasReadyMarker(org, 2)).toBe(false);
  const marker = join(instances, org, "1", "ready");
  expect((await stat(marker)).mode & 0o777).toBe(0o400);

  await expect(runtime.setAside(org, 1, "crashed")).rejects.toMatchObject({ code: "quarantined" });
  expect(await readdir(join(instances, org, "1"))).toEqual(["ready"]);
  await runtime.setAside(org, 1, "deleted");
  const setAside = JSON.parse(await readFile(join(instances, org, "1", "set-aside"), "utf8"));
  expect(setAside).toMatchObject({ reason: "deleted" });
});

test("setting storage aside wipes nothing", async () => {
  await mkdir(join(instances, org, "1", "raft"), { recursive: true });
  await writeFile(join(instances, org, "1", "raft", "vault.db"), "data");
  await runtime.setAside(org, 1, "crashed between init and its record");
  expect(await readFile(join(instances, org, "1", "raft", "vault.db"), "utf8")).toBe("data");
});

test("audit files go to the instance's own folder, by its absolute path", () => {
  const files = (dir: string) => [join(dir, "audit-1.log"), join(dir, "audit-2.log")];
  expect(runtime.auditFiles(org, 3)).toEqual(files(join(instances, org, "3")));
  expect(new ProcessRuntime("relative").auditFiles(org, 1)).toEqual(
    files(join(process.cwd(), "relative", org, "1")),
  );
});
