import type { VaultClient } from "../../shared/vault/client.ts";

/** Requests to each path that an address may make in an hour: twice what two of three key holders need. */
export const RECOVERY_REQUESTS = 10;

/** The paths that start, cancel and complete a rekey or a root token generation. */
const RECOVERY = ["generate-root", "rekey", "rekey-recovery-key"];
/** Vault's default list of paths exempt from quotas, without `sys/generate-root`. */
const UNCOUNTED = [
  "sys/generate-recovery-token/attempt",
  "sys/generate-recovery-token/update",
  "sys/health",
  "sys/seal-status",
  "sys/unseal",
];

/**
 * Limits how often an address may start or cancel a rekey or a root token generation. Before Vault 2.0 neither requires
 * a token, and no setting closes them, so whoever reaches a Vault could cancel its operators' attempts at once. The
 * counters are in memory: a restart resets them.
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
