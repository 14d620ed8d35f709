import type { VaultClient } from "./client.ts";

export type VaultHealth = "active" | "standby" | "sealed" | "uninitialized";

/** What a Vault says of itself, to anyone; throws `VaultUnreachableError` where it says nothing. */
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
