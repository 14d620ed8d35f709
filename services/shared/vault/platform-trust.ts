import type { VaultClient } from "./client.ts";
import { CLIENT_MOUNTS, type ClientMount, clientAuthority } from "./client-authority.ts";
import { caCertificate } from "./pki.ts";
import { OBSERVE } from "./platform-jwt.ts";
import { publicKeys } from "./transit.ts";

/** What an organization's Vault knows the platform by; PEM, all of it public. */
export interface PlatformTrust {
  /** The keys that sign the control plane's logins at `platform-observe`. */
  observeKeys: string[];
  /** The authority behind the client certificates of each mount that takes them. */
  authorities: Record<ClientMount, string>;
}

/** Reads it at the internal Vault; takes the control plane's login there. */
export async function readPlatformTrust(client: VaultClient): Promise<PlatformTrust> {
  const authorities = CLIENT_MOUNTS.map(
    async (mount) => [mount, await caCertificate(client, clientAuthority(mount))] as const,
  );
  return {
    observeKeys: await publicKeys(client, OBSERVE),
    authorities: Object.fromEntries(await Promise.all(authorities)) as Record<ClientMount, string>,
  };
}
