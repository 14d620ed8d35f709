import { afterAll, beforeAll, expect, inject, test } from "vitest";
import type { Reservation } from "../../../services/control-plane/registry/records.ts";
import { newJobId } from "../../../services/control-plane/registry/records.ts";
import {
  claimKey,
  createRegistry,
  idempotencyKey,
  type Registry,
} from "../../../services/control-plane/registry/registry.ts";
import { newOrgId } from "../../../services/shared/org.ts";
import { CasConflictError, kv2 } from "../../../services/shared/vault/kv.ts";
import { type InternalVault, startInternalVault } from "../../harness/vault.ts";

let internal: InternalVault;
let registry: Registry;
/** The control plane's own login lists no names. */
let asRoot: Registry;
beforeAll(async () => {
  internal = await startInternalVault(inject("vaultBinary"));
  registry = createRegistry(kv2(internal.controlPlane, "registry"));
  asRoot = createRegistry(kv2(internal.root, "registry"));
});
afterAll(() => internal?.stop());

const reservation = (): Reservation => ({ org: newOrgId(), job: newJobId() });

test("what is written is read back, with its version; what is not there is undefined", async () => {
  const value = reservation();
  expect(await registry.names.read("acme")).toBeUndefined();
  expect(await registry.names.create("acme", value)).toBe(1);
  expect(await registry.names.read("acme")).toEqual({ value, version: 1 });
  expect(await asRoot.names.keys()).toContain("acme");
});

test("of many who make the same record at once, one does", async () => {
  const results = await Promise.allSettled(
    Array.from({ length: 20 }, () => registry.names.create("wanted", reservation())),
  );
  const refused = results.filter((result) => result.status === "rejected").map(({ reason }) => reason);
  expect(refused).toHaveLength(19);
  for (const reason of refused) expect(reason).toBeInstanceOf(CasConflictError);
});

test("a version that is not the current one is not replaced", async () => {
  await registry.names.create("stale", reservation());
  await registry.names.replace("stale", reservation(), 1);
  await expect(registry.names.replace("stale", reservation(), 1)).rejects.toBeInstanceOf(CasConflictError);
});

test("updates at the same time are all made", async () => {
  await registry.directory.create("directory", { version: 1, jws: "" });
  const add = (n: number) =>
    registry.directory.update("directory", ({ version, jws }) => ({
      version: version + 1,
      jws: `${jws}${n}`,
    }));
  await Promise.all(Array.from({ length: 8 }, (_, n) => add(n)));
  const { value } = (await registry.directory.read("directory")) ?? {};
  expect(value?.version).toBe(9);
  expect([...(value?.jws ?? "")].sort().join("")).toBe("01234567");
});

test("updating what is not there fails", async () => {
  await expect(registry.names.update("nobody", (value) => value)).rejects.toThrow("no such record");
});

test("a record that is removed is gone with its history, and can be made anew", async () => {
  await registry.names.create("again", reservation());
  await registry.names.replace("again", reservation(), 1);
  await registry.names.remove("again");
  expect(await registry.names.read("again")).toBeUndefined();
  expect(await asRoot.names.keys()).not.toContain("again");
  await expect(internal.root.read("registry/metadata/names/again")).rejects.toMatchObject({ status: 404 });
  expect(await registry.names.create("again", reservation())).toBe(1);
});

test("a record of another form is not taken for one", async () => {
  await internal.root.write("registry/data/names/odd", { data: { org: "../x" } });
  await expect(registry.names.read("odd")).rejects.toThrow("schema");
});

test("claims are kept apart by issuer, keys by who sent them, whatever is in their names", () => {
  expect(claimKey("https://a.test/", "x")).not.toBe(claimKey("https://b.test/", "x"));
  expect(claimKey("a", "b\nc")).toMatch(/^[0-9a-f]{64}$/);
  expect(idempotencyKey("ada", "1")).not.toBe(idempotencyKey("grace", "1"));
});
