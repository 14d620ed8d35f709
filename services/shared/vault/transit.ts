import type { VaultClient } from "./client.ts";

/** The name of an organization's unseal key, and of its unseal token's entity alias. */
export const unsealKeyName = (org: string): string => `org-${org}`;

/** Creates the key that seals an organization's Vault. Idempotent. */
export async function createUnsealKey(client: VaultClient, org: string): Promise<void> {
  await client.write(`transit/keys/${unsealKeyName(org)}`, { type: "aes256-gcm96" });
}

/** Creates an ECDSA P-256 signing key. Idempotent. */
export async function createSigningKey(client: VaultClient, key: string): Promise<void> {
  await client.write(`transit/keys/${key}`, { type: "ecdsa-p256" });
}

/** The public keys (PEM) of all versions of a signing key, oldest first. */
export async function publicKeys(client: VaultClient, key: string): Promise<string[]> {
  const body = await client.read(`transit/keys/${key}`);
  const { keys } = body.data as { keys: Record<string, { public_key: string }> };
  return Object.entries(keys)
    .sort(([a], [b]) => Number(a) - Number(b))
    .map(([, version]) => version.public_key);
}

/** A compact JWS (ES256) over the payload as JSON, signed by the newest version of a transit key. */
export async function signCompactJws(
  client: VaultClient,
  key: string,
  header: Record<string, unknown>,
  payload: object,
): Promise<string> {
  const signingInput = `${encode({ alg: "ES256", ...header })}.${encode(payload)}`;
  const body = await client.write(`transit/sign/${key}`, {
    input: Buffer.from(signingInput).toString("base64"),
    hash_algorithm: "sha2-256",
    marshaling_algorithm: "jws",
    prehashed: false,
  });
  const { signature } = body.data as { signature: string };
  return `${signingInput}.${signature.slice(signature.lastIndexOf(":") + 1)}`;
}

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
