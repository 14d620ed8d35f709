import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { localParameterStore } from "../../../services/shared/parameters/local.ts";
import type { ParameterStore } from "../../../services/shared/parameters/store.ts";
import { Secret } from "../../../services/shared/secret.ts";
import { parameterStoreContract } from "./contract.ts";

let folder: string;
let store: ParameterStore;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "strongroom-parameters-"));
  store = localParameterStore(join(folder, "parameters"));
});
afterEach(() => rm(folder, { recursive: true }));

parameterStoreContract(() => store);

test("each parameter is one file of the folder, for the owner alone", async () => {
  await store.put("/p/orgs/a/token", new Secret("1"));
  await store.put("/p/b", new Secret("2"));
  const files = await readdir(join(folder, "parameters"));
  expect(files.sort()).toEqual(["%2Fp%2Fb", "%2Fp%2Forgs%2Fa%2Ftoken"]);
  for (const file of files) {
    expect((await stat(join(folder, "parameters", file))).mode & 0o777).toBe(0o600);
  }
  expect((await stat(join(folder, "parameters"))).mode & 0o777).toBe(0o700);
  expect(await readdir(folder)).toEqual(["parameters"]);
});

test("a write that was cut off is not listed", async () => {
  await store.put("/p/b", new Secret("2"));
  await writeFile(join(folder, "parameters", ".%2Fp%2Fc.123.tmp"), "half");
  expect(await store.list("/")).toEqual(["/p/b"]);
});
