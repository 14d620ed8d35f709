import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { rm } from "node:fs/promises";
import { readText, writeFileAtomic } from "../../shared/files.ts";
import { Secret } from "../../shared/secret.ts";
import { vaultClient } from "../../shared/vault/client.ts";
import { isTokenAlive, revokeSelf } from "../../shared/vault/tokens.ts";
import { bootstrapInternalVault } from "./bootstrap-internal-vault.ts";
import type { StateFolder } from "./state-folder.ts";

const CERTIFICATE_MAX_TTL_SECONDS = 30 * 24 * 3600;

/** The file with the internal Vault's root token during the bootstrap, so that an interrupted one can resume. */
export const rootTokenFile = (state: StateFolder): string => state.at("internal-vault", "root-token");

/**
 * Bootstraps a new internal Vault with its root token, writes the other services' credentials and public keys to
 * files, and revokes the token. Does nothing if the root token is gone. `auditFile` is the path of the audit log,
 * as that Vault sees it, or `stdout`.
 */
export async function bootstrap(
  state: StateFolder,
  address: string,
  unsealTokenPeriodSeconds: number,
  auditFile: string = state.at("internal-vault", "audit.log"),
): Promise<void> {
  const rootToken = (await readText(rootTokenFile(state)))?.trim();
  if (!rootToken) return;
  const root = vaultClient({ address }, () => new Secret(rootToken));
  if (await isTokenAlive(root)) {
    const identity = await bootstrapInternalVault(root, {
      unsealTokenPeriodSeconds,
      certificateMaxTtlSeconds: CERTIFICATE_MAX_TTL_SECONDS,
      operatorKey: await operatorPublicKey(state),
      auditFile,
    });
    for (const [service, { roleId, secretId }] of Object.entries({
      "control-plane": identity,
      ...identity.logins,
    })) {
      await writeFileAtomic(state.at(service, "role-id"), roleId.reveal());
      await writeFileAtomic(state.at(service, "secret-id"), secretId.reveal());
    }
    await writeFileAtomic(state.at("gateway", "directory-key.pem"), identity.directoryKey);
    await writeFileAtomic(state.at("gateway", "ownership-key.pem"), identity.ownershipKey);
    await writeFileAtomic(state.at("gateway", "ca.pem"), identity.ca);
    await writeFileAtomic(state.internalClusterId, identity.clusterId);
    await revokeSelf(root);
  }
  await rm(rootTokenFile(state));
}

/** The operator's public key as PEM. Creates the key pair if there is none. */
async function operatorPublicKey(state: StateFolder): Promise<string> {
  let key = await readText(state.operatorKey);
  if (!key) {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    await writeFileAtomic(state.operatorKey, key);
  }
  return createPublicKey(key).export({ type: "spki", format: "pem" }).toString();
}
