import { Secret } from "../secret.ts";
import type { VaultClient } from "./client.ts";

/** Vault's seal status, as anyone may read it. `clusterId` is there once it is unsealed. */
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
 * Initializes a Vault that unseals itself: one recovery key a PGP key (base64 of the binary key), in their
 * order, each encrypted to it (base64). What comes back comes once. The PGP keys must have been tried: one
 * that cannot encrypt leaves a Vault initialized and its keys lost. Takes seconds: give the client the time.
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

/** Initializes a Vault that is unsealed by one key, which its operator keeps. */
export async function initializeShamir(
  client: VaultClient,
): Promise<{ rootToken: Secret; unsealKey: Secret }> {
  const body = await client.write("sys/init", { secret_shares: 1, secret_threshold: 1 });
  const { root_token, keys_base64 } = body as { root_token: string; keys_base64: [string] };
  return { rootToken: new Secret(root_token), unsealKey: new Secret(keys_base64[0]) };
}

/** Unseals by the one key. Unsealing what is unsealed changes nothing. */
export async function unseal(client: VaultClient, key: Secret): Promise<void> {
  await client.write("sys/unseal", { key: key.reveal() });
}
