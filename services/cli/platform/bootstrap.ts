import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { rm } from "node:fs/promises";
import { readText, writeFileAtomic } from "../../shared/files.ts";
import { Secret } from "../../shared/secret.ts";
import { vaultClient } from "../../shared/vault/client.ts";
import { bootstrapInternalVault } from "../../shared/vault/internal-vault.ts";
import { isTokenAlive, revokeSelf } from "../../shared/vault/tokens.ts";
import type { StateFolder } from "./state-folder.ts";

const CERTIFICATE_MAX_TTL_SECONDS = 30 * 24 * 3600;

/** Where the internal Vault's root token lies while the bootstrap lasts, so that one cut off can be taken up. */
export const rootTokenFile = (state: StateFolder): string => state.at("internal-vault", "root-token");

/**
 * Brings a new internal Vault into its form by its root token, writes down what the other services are given
 * of it, and ends the token. Does nothing where there is no root token any more. `auditFile` is where that
 * Vault writes its audit log, as it sees it; `stdout` is one such place.
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
    await writeFileAtomic(state.at("control-plane", "role-id"), identity.roleId.reveal());
    await writeFileAtomic(state.at("control-plane", "secret-id"), identity.secretId.reveal());
    await writeFileAtomic(state.at("gateway", "directory-key.pem"), identity.directoryKey);
    await writeFileAtomic(state.at("gateway", "ownership-key.pem"), identity.ownershipKey);
    await writeFileAtomic(state.at("gateway", "ca.pem"), identity.ca);
    await writeFileAtomic(state.internalClusterId, identity.clusterId);
    await revokeSelf(root);
  }
  await rm(rootTokenFile(state));
}

/** The public half, as PEM, of the operator's key, which is made if there is none. */
async function operatorPublicKey(state: StateFolder): Promise<string> {
  let key = await readText(state.operatorKey);
  if (!key) {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    await writeFileAtomic(state.operatorKey, key);
  }
  return createPublicKey(key).export({ type: "spki", format: "pem" }).toString();
}
