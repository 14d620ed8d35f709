import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import config from "../../vitest.config.ts";
import { sortTests, testKinds } from "../harness/test-kinds.ts";

const SPAWNS = 'import { spawn } from "node:child_process";\nexport const a = spawn;';

/** Whether a test of this text, beside these files, is a unit test. */
function isUnit(text: string, others: Record<string, string> = {}): boolean {
  const files: Record<string, string> = { "test/shared/a.test.ts": text, ...others };
  const read = (path: string) => files[path] ?? expect.fail(`${path} is not there`);
  return sortTests(["test/shared/a.test.ts"], read).unit.length === 1;
}

describe("a unit test", () => {
  test.each([
    ["imports what needs nothing", 'import { a } from "../../services/shared/a.ts";', "export const a = 1;"],
    ["may ask an app by inject", 'await app.inject("/v1/orgs");', ""],
    [
      "may name the type of what starts a program",
      'import type { A } from "../../services/shared/a.ts";',
      SPAWNS,
    ],
  ])("%s", (_, text, source) => {
    expect(isUnit(text, { "services/shared/a.ts": source })).toBe(true);
  });

  test.each([
    ["takes a Vault", 'const binary = inject("vaultBinary");', ""],
    ["starts a program", 'import { spawn } from "node:child_process";', ""],
    ["imports what can start one", 'import { a } from "../../services/shared/a.ts";', SPAWNS],
    ["imports it in passing", 'const { a } = await import("../../services/shared/a.ts");', SPAWNS],
    ["imports it over another file", 'import "../../services/shared/b.ts";', SPAWNS],
    ["replaces a module that others share", 'vi.mock("undici", () => ({}));', ""],
  ])("is none that %s", (_, text, source) => {
    const others = { "services/shared/a.ts": source, "services/shared/b.ts": 'export * from "./a.ts";' };
    expect(isUnit(text, others)).toBe(false);
  });
});

describe("this checkout", () => {
  const { unit, component } = testKinds();

  test("has tests of both kinds, and those known to be of one are of it", () => {
    expect(unit).toContain("test/gateway/route/authorize-path.test.ts");
    expect(component).toContain("test/shared/vault/kv.test.ts");
    expect(component).toContain("test/shared/process/supervise.test.ts");
  });

  test("no unit test names a Vault that is handed over", () => {
    const named = unit.filter((path) => /inject\(\s*"(vaultBinary|moto)"/.test(readFileSync(path, "utf8")));
    expect(named).toEqual([]);
  });

  test("unit tests have no setup that looks for a Vault", () => {
    const projects = (config.test?.projects ?? []) as { test: { name: string; globalSetup?: unknown } }[];
    const project = projects.find(({ test: { name } }) => name === "unit");
    expect(project?.test).toMatchObject({ include: unit });
    expect(project?.test).not.toHaveProperty("globalSetup");
  });
});
