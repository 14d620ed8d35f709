import type { VaultClient } from "./client.ts";
import { CLIENT_MOUNTS, type ClientMount, clientAuthority } from "./client-authority.ts";
import { caCertificate } from "./pki.ts";
import { OBSERVE } from "./platform-jwt.ts";
import { publicKeys } from "./transit.ts";

/** The platform's public keys and authorities that an organization's Vault trusts; PEM. */
export interface PlatformTrust {
  /** The public keys that verify the control plane's logins at `platform-observe`. */
  observeKeys: string[];
  /** The authority of each mount that accepts client certificates. */
  authorities: Record<ClientMount, string>;
}

/** Reads it from the internal Vault. Requires the control plane's login there. */
export async function readPlatformTrust(client: VaultClient): Promise<PlatformTrust> {
  const authorities = CLIENT_MOUNTS.map(
    async (mount) => [mount, await caCertificate(client, clientAuthority(mount))] as const,
  );
  return {
    observeKeys: await publicKeys(client, OBSERVE),
    authorities: Object.fromEntries(await Promise.all(authorities)) as Record<ClientMount, string>,
  };
}
