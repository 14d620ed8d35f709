import { createPrivateKey, randomUUID } from "node:crypto";
import { SignJWT } from "jose";
import type { Secret } from "../../shared/secret.ts";
import { type VaultClient, type VaultEndpoint, vaultClient } from "../../shared/vault/client.ts";
import { configureJwtMounts } from "../../shared/vault/jwt-auth.ts";
import { login } from "../../shared/vault/login.ts";
import { writePolicy } from "../../shared/vault/policies.ts";

/** Who an operator is at the internal Vault: subject, role and policy. */
export const OPERATOR = "operator";

const MOUNT = "operators";
const ISSUER = `https://platform.strongroom.internal/${MOUNT}`;
const ALGORITHM = "ES256";
const JWT_SECONDS = 30;
const TOKEN_SECONDS = 300;

/**
 * Has the internal Vault let in whoever holds the private half of a key (PEM, P-256), and nobody who held an
 * earlier one. A key, since no secret is then sent, and since Vault counts failed logins against user names and
 * roles of passwords and AppRoles: anyone who reached it could lock an operator out.
 */
export async function allowOperator(root: VaultClient, publicKey: string, clusterId: string): Promise<void> {
  await writePolicy(root, OPERATOR);
  const role = { audience: clusterId, claims: {}, policy: OPERATOR, ttlSeconds: TOKEN_SECONDS };
  const mount = { issuer: ISSUER, algorithms: [ALGORITHM], keys: [publicKey], roles: { [OPERATOR]: role } };
  await configureJwtMounts(root, { [MOUNT]: mount });
}

/**
 * Signs in at the internal Vault, for five minutes, by a JWT of half a minute that is good at this one Vault.
 * `key` is the private key as PEM. Throws `VaultError` 400 if Vault does not take it.
 */
export async function loginAsOperator(
  endpoint: VaultEndpoint,
  { key, clusterId }: { key: Secret; clusterId: string },
  now: Date = new Date(),
): Promise<VaultClient> {
  const iat = Math.floor(now.getTime() / 1000);
  const jwt = await new SignJWT({ jti: randomUUID() })
    .setProtectedHeader({ alg: ALGORITHM, typ: "JWT" })
    .setIssuer(ISSUER)
    .setSubject(OPERATOR)
    .setAudience(clusterId)
    .setIssuedAt(iat)
    .setExpirationTime(iat + JWT_SECONDS)
    .sign(createPrivateKey(key.reveal()));
  const { token } = await login(endpoint, `auth/${MOUNT}/login`, { role: OPERATOR, jwt });
  return vaultClient(endpoint, () => token);
}
