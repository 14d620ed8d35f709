import type { VaultClient } from "./client.ts";

export type VaultHealth = "active" | "standby" | "sealed" | "uninitialized";

/** A Vault's health, which requires no token. Throws `VaultUnreachableError` if it does not answer. */
export async function health(client: VaultClient): Promise<VaultHealth> {
  const body = await client.read("sys/health?standbyok=true&sealedcode=200&uninitcode=200");
  const { initialized, sealed, standby } = body as {
    initialized: boolean;
    sealed: boolean;
    standby: boolean;
  };
  if (!initialized) return "uninitialized";
  if (sealed) return "sealed";
  return standby ? "standby" : "active";
}
