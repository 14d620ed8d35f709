import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { internalVaultEndpoint } from "../../../services/shared/vault/internal-vault-settings.ts";
import { test } from "../../harness/folder.ts";

test("the internal Vault's authority is needed with https, and only then", async ({ folder }) => {
  const path = join(folder, "internal-ca.pem");
  await writeFile(path, "PEM");
  const plain = { STRONGROOM_INTERNAL_VAULT_ADDR: "http://127.0.0.1:8210" };
  const secure = { STRONGROOM_INTERNAL_VAULT_ADDR: "https://vault.internal:8200" };
  expect(internalVaultEndpoint(plain)).toEqual({ address: "http://127.0.0.1:8210" });
  expect(internalVaultEndpoint({ ...secure, STRONGROOM_INTERNAL_VAULT_CA_FILE: path })).toEqual({
    address: "https://vault.internal:8200",
    ca: "PEM",
  });
  for (const wrong of [secure, { ...plain, STRONGROOM_INTERNAL_VAULT_CA_FILE: path }]) {
    expect(() => internalVaultEndpoint(wrong)).toThrow(/STRONGROOM_INTERNAL_VAULT_CA_FILE/);
  }
});
