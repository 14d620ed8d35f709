import { expect } from "vitest";
import { CasConflictError, kv1, kv2 } from "../../../services/shared/vault/kv.ts";
import { test } from "../../harness/fixtures.ts";
import type { InternalVault } from "../../harness/vault.ts";

let vault: InternalVault;
test.beforeAll(({ internal }) => {
  vault = internal;
});

const registry = () => kv2(vault.controlPlane, "registry");

test("what is not there is undefined, and an empty folder lists nothing", async () => {
  expect(await registry().read("orgs/none")).toBeUndefined();
  expect(await registry().list("jobs")).toEqual([]);
});

test("versions count up, and check-and-set refuses any but the newest", async () => {
  expect(await registry().write("orgs/a", { n: 1 }, 0)).toBe(1);
  expect(await registry().write("orgs/a", { n: 2 }, 1)).toBe(2);
  await expect(registry().write("orgs/a", { n: 3 }, 1)).rejects.toBeInstanceOf(CasConflictError);
  await expect(registry().write("orgs/a", { n: 3 }, 0)).rejects.toBeInstanceOf(CasConflictError);
  expect(await registry().read("orgs/a")).toEqual({ data: { n: 2 }, version: 2 });
});

test("of twenty who create the same record at once, one does", async () => {
  const attempts = Array.from({ length: 20 }, (_, n) => registry().write("names/one", { n }, 0));
  const outcomes = await Promise.allSettled(attempts);
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  for (const outcome of outcomes) {
    if (outcome.status === "rejected") expect(outcome.reason).toBeInstanceOf(CasConflictError);
  }
});

test("a destroyed record can be created again, and none of its versions is left", async () => {
  await registry().write("names/freed", { canary: "first" }, 0);
  await registry().write("names/freed", { canary: "second" });
  await registry().destroy("names/freed");
  expect(await registry().read("names/freed")).toBeUndefined();
  await expect(vault.root.read("registry/data/names/freed?version=1")).rejects.toMatchObject({ status: 404 });
  expect(await registry().write("names/freed", { canary: "third" }, 0)).toBe(1);
});

test("lists names, and folders with a slash", async () => {
  const anywhere = kv2(vault.root, "registry");
  await anywhere.write("jobs/j1", {});
  await anywhere.write("jobs/folder/j2", {});
  expect(await registry().list("jobs")).toEqual(["folder/", "j1"]);
});

test("version 1 keeps one value, which is never overwritten under the control plane's policy", async () => {
  const tokens = kv1(vault.controlPlane, "root-tokens");
  expect(await tokens.read("oa")).toBeUndefined();
  await tokens.write("oa", { token: "first" });
  await expect(tokens.write("oa", { token: "second" })).rejects.toMatchObject({ status: 403 });
  expect(await tokens.read("oa")).toEqual({ token: "first" });
  await tokens.delete("oa");
  expect(await tokens.read("oa")).toBeUndefined();
  await tokens.delete("oa");
});
