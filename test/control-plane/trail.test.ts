import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { Trail } from "../../services/control-plane/trail.ts";
import { followTrail, TRAIL_BEGIN } from "../../services/shared/audit/trail.ts";
import { createRegistry, type Registry } from "../../services/shared/registry/registry.ts";
import { kv2 } from "../../services/shared/vault/kv.ts";
import { type InternalVault, startInternalVault } from "../harness/vault.ts";

/** With the control plane's own login, whose policy is what makes it append-only. */
let internal: InternalVault;
let registry: Registry;
beforeAll(async () => {
  internal = await startInternalVault(inject("vaultBinary"));
  registry = createRegistry(kv2(internal.controlPlane, "registry"));
});
afterAll(() => internal?.stop());

const open = () => new Trail(registry, () => new Date());
const actions = async () => (await open().read(0, 100)).map(({ action }) => action);

test("entries follow one another, also after a new start", async () => {
  expect(await open().head()).toEqual(TRAIL_BEGIN);
  await open().append({ actor: "ada", action: "first", requestId: "r-1" });
  const trail = open();
  await Promise.all(["second", "third"].map((action) => trail.append({ actor: "ada", action })));
  expect(await actions()).toEqual(["first", "second", "third"]);
  const entries = await trail.read(0, 100);
  expect(followTrail(entries, TRAIL_BEGIN)).toEqual({ sequence: 3, hash: entries[2]?.hash });
  expect(await open().head()).toMatchObject({ sequence: 3 });
  expect(await trail.read(2, 100)).toHaveLength(1);
});

test("two who write at once: nothing is lost, and it stays one chain", async () => {
  const [one, other] = [open(), open()];
  const before = (await actions()).length;
  const writing = Array.from({ length: 20 }, (_, i) =>
    (i % 2 ? one : other).append({ actor: `writer ${i % 2}`, action: `${i}` }),
  );
  await Promise.all(writing);
  const entries = await open().read(0, 100);
  expect(entries).toHaveLength(before + 20);
  followTrail(entries, TRAIL_BEGIN);
});

test("the control plane's login changes no entry, and removes none", async () => {
  const path = "trail/000000000/001";
  const { controlPlane, root } = internal;
  const entry = (await registry.trail.read("000000000/001"))?.value;
  for (const attempt of [
    () => controlPlane.write(`registry/data/${path}`, { data: { ...entry, actor: "eve" } }),
    () => controlPlane.write(`registry/data/${path}`, { data: entry, options: { cas: 1 } }),
    () => controlPlane.delete(`registry/data/${path}`),
    () => controlPlane.delete(`registry/metadata/${path}`),
    () => controlPlane.write(`registry/metadata/${path}`, { max_versions: 1 }),
    () => controlPlane.write(`registry/delete/${path}`, { versions: [1] }),
    () => controlPlane.write(`registry/destroy/${path}`, { versions: [1] }),
  ]) {
    await expect(attempt()).rejects.toMatchObject({ status: 403 });
  }
  const { data } = await root.read(`registry/metadata/${path}`);
  expect(data).toMatchObject({ current_version: 1 });
});

test("what a holder of root at the internal Vault changes is found", async () => {
  const path = "trail/000000000/002";
  const before = await registry.trail.read("000000000/002");
  await internal.root.write(`registry/data/${path}`, { data: { ...before?.value, actor: "eve" } });
  const entries = await open().read(0, 100);
  expect(() => followTrail(entries, TRAIL_BEGIN)).toThrow(/entry 2 is not what was written/);
  await internal.root.delete(`registry/metadata/${path}`);
  const left = await open().read(0, 100);
  expect(() => followTrail(left, TRAIL_BEGIN)).toThrow(/entry 2 is missing/);
});
