import { ConfigError, readSettingFile } from "../config.ts";
import type { VaultEndpoint } from "./client.ts";

/** Where a service's settings say that the internal Vault is. */
export interface InternalVaultSettings {
  STRONGROOM_INTERNAL_VAULT_ADDR: string;
  STRONGROOM_INTERNAL_VAULT_CA_FILE?: string;
}

/** The internal Vault's address and CA. Throws ConfigError if https has no CA, or http has one. */
export function internalVaultEndpoint({
  STRONGROOM_INTERNAL_VAULT_ADDR: address,
  STRONGROOM_INTERNAL_VAULT_CA_FILE: path,
}: InternalVaultSettings): VaultEndpoint {
  const setting = "STRONGROOM_INTERNAL_VAULT_CA_FILE";
  if (address.startsWith("https:") !== (path !== undefined)) {
    throw new ConfigError(`${setting}: required if STRONGROOM_INTERNAL_VAULT_ADDR is https, and only then`);
  }
  return { address, ...(path !== undefined && { ca: readSettingFile(path, setting) }) };
}
