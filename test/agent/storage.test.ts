import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { claimStorage, writeConfig } from "../../services/agent/storage.ts";
import type { InstanceSpec } from "../../services/shared/instance-spec.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { instanceFolder } from "../../services/shared/process/instance-folders.ts";

let instances: string;
beforeEach(async () => {
  instances = await mkdtemp(join(tmpdir(), "strongroom-storage-"));
});
afterEach(() => rm(instances, { recursive: true }));

const ORG = newOrgId();
const folder = () => instanceFolder(instances, ORG, 1);
const spec = (change: Partial<InstanceSpec> = {}): InstanceSpec => ({
  org: ORG,
  attempt: 1,
  listen: "127.0.0.1:20000",
  config: {},
  environment: {},
  secrets: [],
  restart: 0,
  reload: 0,
  ...change,
});

test("the first use marks whose storage it is, and its owner may come back", async () => {
  await claimStorage(spec(), folder());
  expect(JSON.parse(await readFile(folder().identity, "utf8"))).toEqual({ org: ORG, attempt: 1 });
  expect((await stat(folder().dir)).mode & 0o777).toBe(0o700);
  await mkdir(join(folder().dir, "raft"));
  await claimStorage(spec({ restart: 7 }), folder());
});

test("storage marked as another's, or as of another attempt, is refused", async () => {
  await claimStorage(spec(), folder());
  await expect(claimStorage(spec({ org: newOrgId() }), folder())).rejects.toThrow("the storage belongs to");
  await expect(claimStorage(spec({ attempt: 2 }), folder())).rejects.toThrow("the storage belongs to");
});

test("storage that carries no mark is refused", async () => {
  await mkdir(join(folder().dir, "raft"), { recursive: true });
  await expect(claimStorage(spec(), folder())).rejects.toThrow("no mark");
  expect(await readdir(folder().dir)).toEqual(["raft"]);
});

test("a first use that was cut off is no obstacle", async () => {
  await mkdir(folder().dir, { recursive: true });
  await writeFile(join(folder().dir, ".instance.json.123.tmp"), "{");
  await claimStorage(spec(), folder());
});

test("storage that was set aside is refused, its owner's too", async () => {
  await claimStorage(spec(), folder());
  await writeFile(folder().setAside, "{}");
  await expect(claimStorage(spec(), folder())).rejects.toThrow("set aside");
});

test("the configuration gets the folder's path wherever it says {dir}, and storage its folder", async () => {
  const config = {
    storage: { raft: { path: "{dir}/raft", node_id: "n" } },
    listener: [{ tcp: { tls_cert_file: "{dir}/tls/a.pem:{dir}/b", port: 1, on: true, none: null } }],
  };
  await writeConfig(spec({ config }), folder());
  const { dir } = folder();
  expect(JSON.parse(await readFile(folder().config, "utf8"))).toEqual({
    storage: { raft: { path: `${dir}/raft`, node_id: "n" } },
    listener: [{ tcp: { tls_cert_file: `${dir}/tls/a.pem:${dir}/b`, port: 1, on: true, none: null } }],
  });
  expect((await stat(join(dir, "raft"))).mode & 0o777).toBe(0o700);
  expect((await stat(folder().config)).mode & 0o777).toBe(0o600);
});

test("no folder is made for storage elsewhere", async () => {
  const config = { storage: { raft: { path: `${instances}/elsewhere` } } };
  await writeConfig(spec({ config }), folder());
  expect(await readdir(instances)).toEqual([ORG]);
});
