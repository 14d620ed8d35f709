import { readText, writeFileAtomic } from "../../shared/files.ts";
import { Failure } from "../failure.ts";
import { isAtLeast } from "../vault-binary/recipe.ts";
import type { StateFolder } from "./state-folder.ts";

/**
 * Records the version of Vault that uses the platform's storage from now on. Failure `conflict` for a downgrade,
 * such as 1.21 after 2.2: the newer Vault may have changed its storage, and Vault does not support the way back.
 * Patch versions are ignored.
 */
export async function noteVaultVersion(state: StateFolder, version: string): Promise<void> {
  const file = state.at("vault-version");
  const before = (await readText(file))?.trim();
  if (before && !isAtLeast(version, `${before.split(".").slice(0, 2).join(".")}.0`)) {
    throw new Failure(
      "conflict",
      `${state.path} was last used by Vault ${before}; the older Vault ${version} may be unable to read its storage`,
      `Set VAULT_BIN to Vault ${before} or newer, or start over with another folder: --state DIR`,
    );
  }
  await writeFileAtomic(file, version);
}
