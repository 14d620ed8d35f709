import { readText, writeFileAtomic } from "../../shared/files.ts";
import { Failure } from "../failure.ts";
import { isAtLeast } from "../vault-binary/recipe.ts";
import type { StateFolder } from "./state-folder.ts";

/**
 * Notes the version of Vault that a platform's storage is used by from now on. Failure `conflict` if an older
 * one than before is to use it, like 1.21 after 2.2: Vault may have changed its storage, and promises nothing
 * about the way back. The third number does not count.
 */
export async function noteVaultVersion(state: StateFolder, version: string): Promise<void> {
  const file = state.at("vault-version");
  const before = (await readText(file))?.trim();
  if (before && !isAtLeast(version, `${before.split(".").slice(0, 2).join(".")}.0`)) {
    throw new Failure(
      "conflict",
      `${state.path} was last used by Vault ${before}, and Vault ${version} is older: it may not read that storage`,
      `Set VAULT_BIN to Vault ${before} or newer, or begin anew on another folder: --state DIR`,
    );
  }
  await writeFileAtomic(file, version);
}
