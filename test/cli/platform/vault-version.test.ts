import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { StateFolder } from "../../../services/cli/platform/state-folder.ts";
import { noteVaultVersion } from "../../../services/cli/platform/vault-version.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "strongroom-version-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const note = (version: string) => noteVaultVersion(new StateFolder(folder), version);
const noted = () => readFile(join(folder, "vault-version"), "utf8");

test("a newer Vault, and another patch of the same, may take over the storage", async () => {
  for (const version of ["1.21.2", "1.21.1", "2.2.2", "2.2.0", "2.10.0"]) {
    await note(version);
    expect(await noted()).toBe(version);
  }
});

test.each([
  ["2.2.2", "1.21.2"],
  ["2.2.2", "2.1.9"],
  ["2.10.0", "2.9.5"],
])("after Vault %s, Vault %s is refused, and the note stays", async (before, version) => {
  await note(before);
  await expect(note(version)).rejects.toMatchObject({
    message: expect.stringContaining(`last used by Vault ${before}; the older Vault ${version}`),
    hint: expect.stringContaining(`VAULT_BIN to Vault ${before} or newer`),
  });
  expect(await noted()).toBe(before);
});
