import { CREDENTIAL_KEYS_MOUNT } from "../../shared/envelope/transit.ts";
import type { AppRoleCredentials } from "../../shared/vault/approle.ts";
import type { VaultClient } from "../../shared/vault/client.ts";
import { enableSecretsEngines } from "../../shared/vault/mounts.ts";
import { PURPOSES } from "../../shared/work/kinds.ts";
import { allowService } from "./app-roles.ts";
import { CREDENTIAL_LOGINS, type CredentialLogin } from "./credential-logins.ts";

/** What a key is created as. Vault lets nobody turn off `exportable` or `allow_plaintext_backup` later. */
const KEY = {
  type: "aes256-gcm96",
  derived: true,
  exportable: false,
  allow_plaintext_backup: false,
};

/**
 * Makes a mount for credentials' keys, with one key a purpose, and the logins that use them. Existing keys stay. Throws
 * if an existing key could leave the Vault, or could be deleted.
 */
export async function allowCredentials(
  root: VaultClient,
): Promise<Record<CredentialLogin, AppRoleCredentials>> {
  await enableSecretsEngines(root, { [CREDENTIAL_KEYS_MOUNT]: { type: "transit" } });
  for (const purpose of PURPOSES) await createCredentialKey(root, purpose);
  const logins = {} as Record<CredentialLogin, AppRoleCredentials>;
  for (const name of CREDENTIAL_LOGINS) logins[name] = await allowService(root, name);
  return logins;
}

async function createCredentialKey(root: VaultClient, name: string): Promise<void> {
  const path = `${CREDENTIAL_KEYS_MOUNT}/keys/${name}`;
  await root.write(path, KEY);
  const found = (await root.read(path)).data as Record<string, unknown>;
  const wanted = Object.entries({ ...KEY, deletion_allowed: false });
  const wrong = wanted.filter(([setting, value]) => found[setting] !== value).map(([setting]) => setting);
  if (wrong.length > 0) {
    throw new Error(`the key ${path} of the internal Vault has another setting of ${wrong.join(", ")}`);
  }
}
