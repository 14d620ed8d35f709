import type { VaultClient } from "../../shared/vault/client.ts";

/** Requests that an address may make of each in an hour: twice what two of three key holders need. */
export const RECOVERY_REQUESTS = 10;

/** What starts, cancels and ends a rekey and the making of a root token. */
const RECOVERY = ["generate-root", "rekey", "rekey-recovery-key"];
/** Vault's own list of what no quota counts, without `sys/generate-root`. */
const UNCOUNTED = [
  "sys/generate-recovery-token/attempt",
  "sys/generate-recovery-token/update",
  "sys/health",
  "sys/seal-status",
  "sys/unseal",
];

/**
 * Limits how often an address may start or cancel a rekey or the making of a root token. Before Vault 2.0
 * neither needs a token and no setting closes them, so whoever reaches a Vault could undo each attempt of its
 * operators at once. The counters are in memory: a restart forgets them.
 */
export async function limitRecovery(root: VaultClient): Promise<void> {
  await root.write("sys/quotas/config", { rate_limit_exempt_paths: UNCOUNTED });
  for (const name of RECOVERY) {
    await root.write(`sys/quotas/rate-limit/${name}`, {
      path: `sys/${name}/*`,
      rate: RECOVERY_REQUESTS,
      interval: "1h",
    });
  }
}
