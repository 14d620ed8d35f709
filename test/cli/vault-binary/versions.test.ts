import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { isAtLeast, readRecipe } from "../../../services/cli/vault-binary/recipe.ts";
import {
  ADVISORIES,
  MINIMUM,
  openAdvisories,
  RECOMMENDED,
} from "../../../services/cli/vault-binary/versions.ts";

const text = (path: string) => readFile(new URL(`../../../${path}`, import.meta.url), "utf8");

test("the floor is below what is built, which is below what is recommended", async () => {
  const { vault } = await readRecipe();
  expect(isAtLeast(vault, MINIMUM.version)).toBe(true);
  expect(isAtLeast(RECOMMENDED.version, vault)).toBe(true);
});

test("every advisory is open on the version built from source, and none on the recommended one", async () => {
  expect(openAdvisories((await readRecipe()).vault)).toEqual(ADVISORIES);
  expect(openAdvisories(RECOMMENDED.version)).toEqual([]);
  expect(openAdvisories("2.1.2").map(({ id }) => id)).toEqual([
    "CVE-2026-92735",
    "CVE-2026-93333",
    "CVE-2026-93335",
  ]);
});

test("each advisory is named once, and the files its reason points to exist", async () => {
  const ids = ADVISORIES.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  for (const { because } of ADVISORIES) {
    for (const [path] of because.matchAll(/(?:test|services|docs)\/[\w./-]+\.(?:ts|md|json)/g)) {
      await expect(text(path), path).resolves.not.toBe("");
    }
  }
});

test.each([
  ["cdk.json", /"vaultImage": "([^@"]+)@/],
  ["docker-compose.yml", /image: hashicorp\/vault:(\S+)/],
  ["infra/Dockerfile", /VAULT_IMAGE=hashicorp\/vault:(\S+)/],
  ["docs/aws.md", /strongroom\/vault:(\S+)" hashicorp/],
  ["docs/dependencies.md", /`hashicorp\/vault:(\S+)`/],
])("%s names the recommended release", async (path, pattern) => {
  expect(pattern.exec(await text(path))?.[1]).toBe(RECOMMENDED.version);
});
