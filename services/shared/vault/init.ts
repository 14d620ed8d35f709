import { Secret } from "../secret.ts";
import type { VaultClient } from "./client.ts";

/** Vault's seal status, which requires no token. `clusterId` is present once Vault is unsealed. */
export async function sealStatus(
  client: VaultClient,
): Promise<{ initialized: boolean; sealed: boolean; clusterId?: string; version: string }> {
  const body = await client.read("sys/seal-status");
  const { initialized, sealed, cluster_id, version } = body as {
    initialized: boolean;
    sealed: boolean;
    cluster_id?: string;
    version: string;
  };
  return { initialized, sealed, version, ...(cluster_id ? { clusterId: cluster_id } : {}) };
}

/**
 * Initializes an auto-unsealing Vault. Returns one recovery key for each PGP key (base64 of the binary key), in the
 * same order, encrypted to it (base64). Vault returns them only once. Test-encrypt to the PGP keys before: one that
 * cannot encrypt leaves the Vault initialized and its keys lost. Takes seconds, so set the client's timeout
 * accordingly.
 */
export async function initialize(
  client: VaultClient,
  { pgpKeys, threshold }: { pgpKeys: string[]; threshold: number },
): Promise<{ rootToken: Secret; recoveryKeys: string[] }> {
  const body = await client.write("sys/init", {
    recovery_shares: pgpKeys.length,
    recovery_threshold: threshold,
    recovery_pgp_keys: pgpKeys,
  });
  const { root_token, recovery_keys_base64 } = body as { root_token: string; recovery_keys_base64: string[] };
  return { rootToken: new Secret(root_token), recoveryKeys: recovery_keys_base64 };
}

/** Initializes a Vault with a single unseal key, which its operator keeps. */
export async function initializeShamir(
  client: VaultClient,
): Promise<{ rootToken: Secret; unsealKey: Secret }> {
  const body = await client.write("sys/init", { secret_shares: 1, secret_threshold: 1 });
  const { root_token, keys_base64 } = body as { root_token: string; keys_base64: [string] };
  return { rootToken: new Secret(root_token), unsealKey: new Secret(keys_base64[0]) };
}

/** Unseals with the single key. Idempotent. */
export async function unseal(client: VaultClient, key: Secret): Promise<void> {
  await client.write("sys/unseal", { key: key.reveal() });
}
