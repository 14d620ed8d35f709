import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, inject, test, vi } from "vitest";
import { SelfCheckError, selfCheck } from "../../../services/cli/vault-binary/self-check.ts";
import { type Alteration, writeAlteredVault } from "../../harness/altered-vault.ts";
import { writeTools } from "../../harness/stand-in-tools.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "strongroom-self-check-"));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

async function failure(binary: string): Promise<SelfCheckError> {
  const error = await selfCheck(binary).then(
    () => expect.unreachable("the check passed"),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SelfCheckError);
  return error as SelfCheckError;
}

test("the Vault of the tests does all that the platform asks of it, and nothing is left", async () => {
  vi.stubEnv("TMPDIR", folder);
  await selfCheck(inject("vaultBinary"));
  expect(await readdir(folder)).toEqual([]);
});

test.each<[string, Partial<Alteration>, RegExp]>([
  ["the auth method AppRole", { refuses: "/v1/sys/auth/approle" }, /^configuring the internal Vault: .*404/],
  ["PKI", { refuses: "/v1/pki/root" }, /^configuring the internal Vault: .*pki\/root.*404/],
  ["token roles", { refuses: "/v1/auth/token/create/unseal" }, /^the control plane's login.*404/],
  ["transit", { refuses: "/v1/transit/encrypt" }, /an organization's Vault/],
  ["the transit seal", { drops: "seal" }, /^initializing an organization's Vault with recovery keys: /],
  [
    "a setting of the listener",
    { unknownSetting: "disable_unauthed_rekey_endpoints" },
    /does not know the setting disable_unauthed_rekey_endpoints/,
  ],
])("a release without %s is refused, and what failed is named", async (_, lack, message) => {
  const path = join(folder, "vault");
  writeAlteredVault(path, { binary: inject("vaultBinary"), version: "2.9.9", ...lack });
  const error = await failure(path);
  expect(error.message).toMatch(message);
  expect(error.late).toBe(false);
});

test("a binary whose server ends at once is refused with what it printed", async () => {
  await writeTools(folder, { vault: '#!/bin/sh\necho "Error: no such luck"\nexit 1\n' });
  expect((await failure(join(folder, "vault"))).message).toBe(
    "starting the internal Vault: Error: no such luck",
  );
});

test("an abort ends the check and its servers with the signal's reason", async () => {
  const stop = new AbortController();
  const checking = selfCheck(inject("vaultBinary"), stop.signal);
  setTimeout(() => stop.abort(new Error("enough")), 300);
  await expect(checking).rejects.toThrow("enough");
});
