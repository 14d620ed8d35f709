import { createPrivateKey, randomUUID } from "node:crypto";
import { SignJWT } from "jose";
import type { Secret } from "../../shared/secret.ts";
import { type VaultClient, type VaultEndpoint, vaultClient } from "../../shared/vault/client.ts";
import { configureJwtMounts } from "../../shared/vault/jwt-auth.ts";
import { login } from "../../shared/vault/login.ts";
import { writePolicy } from "../../shared/vault/policies.ts";

/** An operator's subject, role and policy at the internal Vault. */
export const OPERATOR = "operator";

const MOUNT = "operators";
const ISSUER = `https://platform.strongroom.internal/${MOUNT}`;
const ALGORITHM = "ES256";
const JWT_SECONDS = 30;
const TOKEN_SECONDS = 300;

/**
 * Makes the internal Vault admit the holder of the private key to this public key (PEM, P-256), and no holder of an
 * earlier one. With a key no secret is sent, and nobody can lock the operator out: Vault's lockout after failed logins
 * covers passwords and AppRoles only.
 */
export async function allowOperator(root: VaultClient, publicKey: string, clusterId: string): Promise<void> {
  await writePolicy(root, OPERATOR);
  const role = { audience: clusterId, claims: {}, policy: OPERATOR, ttlSeconds: TOKEN_SECONDS };
  const mount = { issuer: ISSUER, algorithms: [ALGORITHM], keys: [publicKey], roles: { [OPERATOR]: role } };
  await configureJwtMounts(root, { [MOUNT]: mount });
}

/**
 * Signs in at the internal Vault for five minutes, with a JWT that is valid for 30 seconds and at this Vault only.
 * `key` is the private key as PEM. Throws `VaultError` 400 if Vault refuses the JWT.
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
