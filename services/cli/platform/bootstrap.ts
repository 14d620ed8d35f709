import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { rm } from "node:fs/promises";
import { readText, writeFileAtomic } from "../../shared/files.ts";
import { Secret } from "../../shared/secret.ts";
import { vaultClient } from "../../shared/vault/client.ts";
import { isTokenAlive, revokeSelf } from "../../shared/vault/tokens.ts";
import { Failure } from "../failure.ts";
import { bootstrapInternalVault } from "./bootstrap-internal-vault.ts";
import { CREDENTIAL_LOGINS } from "./credential-logins.ts";
import type { StateFolder } from "./state-folder.ts";

const CERTIFICATE_MAX_TTL_SECONDS = 30 * 24 * 3600;

/** The file with the internal Vault's root token during the bootstrap, so that an interrupted one can resume. */
export const rootTokenFile = (state: StateFolder): string => state.at("internal-vault", "root-token");

/**
 * Bootstraps a new internal Vault with its root token, writes the other services' credentials and public keys to
 * files, and revokes the token. Does nothing if the root token is gone. `auditFile` is the path of the audit log,
 * as that Vault sees it, or `stdout`. Failure `conflict` if an earlier version bootstrapped it, without logins that
 * services need now.
 */
export async function bootstrap(
  state: StateFolder,
  address: string,
  unsealTokenPeriodSeconds: number,
  auditFile: string = state.at("internal-vault", "audit.log"),
): Promise<void> {
  const rootToken = (await readText(rootTokenFile(state)))?.trim();
  if (!rootToken) return requireLogins(state);
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
    // Once more for the broker, which reads no other service's folder.
    for (const service of ["gateway", "worker-broker"]) {
      await writeFileAtomic(state.at(service, "directory-key.pem"), identity.directoryKey);
      await writeFileAtomic(state.at(service, "ownership-key.pem"), identity.ownershipKey);
    }
    await writeFileAtomic(state.at("gateway", "ca.pem"), identity.ca);
    await writeFileAtomic(state.internalClusterId, identity.clusterId);
    await revokeSelf(root);
  }
  await rm(rootTokenFile(state));
  await requireLogins(state);
}

/** What to do about an internal Vault that an earlier version bootstrapped. */
export const AGAIN =
  "Bootstrap it again with a root token: docs/runbooks/bootstrap-again.md. In containers, start over: docker compose down --volumes";

/** Whether an earlier version bootstrapped the internal Vault, without the logins for credentials' keys. */
export async function lacksLogins(state: StateFolder): Promise<boolean> {
  if (!(await readText(state.at("control-plane", "secret-id")))) return false;
  const secretIds = await Promise.all(CREDENTIAL_LOGINS.map((name) => readText(state.at(name, "secret-id"))));
  return secretIds.some((secretId) => !secretId);
}

async function requireLogins(state: StateFolder): Promise<void> {
  if (!(await lacksLogins(state))) return;
  throw new Failure(
    "conflict",
    "The internal Vault was bootstrapped by an earlier version, and lacks the keys for credentials",
    AGAIN,
  );
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
