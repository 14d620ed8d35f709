/**
 * Liveness checks of containers. ECS replaces a task whose check fails, even while its service starts, so each checks
 * only that the process responds. The load balancer checks a gateway's readiness.
 */

/**
 * Vault responds. A node that is uninitialized or cannot unseal gains nothing from a replacement, nor does one with an
 * expired certificate, so the check does not verify it.
 */
export const VAULT_ANSWERS = ["CMD-SHELL", "vault status -tls-skip-verify >/dev/null 2>&1; [ $? -ne 1 ]"];

/** A service responds at the URL, with any status. Uses Node, since the image has no other HTTP client. */
export const answers = (url: string): string[] => [
  "CMD",
  "node",
  "--eval",
  `fetch('${url}').then(() => process.exit(0), () => process.exit(1))`,
];

/** A service accepts connections on the port. It answers nobody but its clients. */
export const accepts = (port: number): string[] => [
  "CMD",
  "node",
  "--eval",
  `require('node:net').connect(${port}, '127.0.0.1').on('connect', () => process.exit(0)).on('error', () => process.exit(1))`,
];
