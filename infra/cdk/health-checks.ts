/**
 * Health checks of containers. ECS replaces a task whose check fails, also while its service starts: so each
 * asks only whether the process lives. Whether a gateway is ready is what the load balancer asks.
 */

/**
 * Vault answers: one that is not initialized, or cannot unseal, gains nothing by being replaced. Nor does one
 * whose certificate has ended, so the check does not look at it.
 */
export const VAULT_ANSWERS = ["CMD-SHELL", "vault status -tls-skip-verify >/dev/null 2>&1; [ $? -ne 1 ]"];

/** A service answers at the URL, whatever it says; by its own Node, since its image has no other client. */
export const answers = (url: string): string[] => [
  "CMD",
  "node",
  "--eval",
  `fetch('${url}').then(() => process.exit(0), () => process.exit(1))`,
];
