import { Secret } from "../secret.ts";
import { type VaultClient, VaultError } from "./client.ts";
import { authMethods } from "./mounts.ts";
import { unsealKeyName } from "./transit.ts";

/** The token role, and the policy, of unseal tokens. */
export const UNSEAL_ROLE = "unseal";

/**
 * Mints a periodic orphan token that can use one organization's unseal key and nothing else. `ttl` is its period in
 * seconds.
 */
export async function mintUnsealToken(
  client: VaultClient,
  org: string,
): Promise<{ token: Secret; accessor: string; ttl: number }> {
  const body = await client.write(`auth/token/create/${UNSEAL_ROLE}`, { entity_alias: unsealKeyName(org) });
  const auth = body.auth as { client_token: string; accessor: string; lease_duration: number };
  return { token: new Secret(auth.client_token), accessor: auth.accessor, ttl: auth.lease_duration };
}

/**
 * A token's remaining and initial lifetime in seconds, of which the latter is a periodic token's period; undefined if
 * it is dead.
 */
export async function lookupAccessor(
  client: VaultClient,
  accessor: string,
): Promise<{ ttl: number; period: number } | undefined> {
  const body = await unlessDead(client.write("auth/token/lookup-accessor", { accessor }));
  if (!body) return undefined;
  // Vault omits `period` if the period comes from the token role.
  const { ttl, creation_ttl } = body.data as { ttl: number; creation_ttl: number };
  return { ttl, period: creation_ttl };
}

/** Renews a token and returns its remaining seconds; undefined if it is dead. */
export async function renewAccessor(client: VaultClient, accessor: string): Promise<number | undefined> {
  const body = await unlessDead(client.write("auth/token/renew-accessor", { accessor }));
  return body && (body.auth as { lease_duration: number }).lease_duration;
}

/** Revokes a token. Not an error if it is already dead. */
export async function revokeAccessor(client: VaultClient, accessor: string): Promise<void> {
  await client.write("auth/token/revoke-accessor", { accessor });
}

/**
 * Invalidates every unseal token of an organization, including those with unknown accessors: all belong to the entity
 * of their common alias, and Vault refuses a token whose entity was deleted. A lookup by accessor still shows such a
 * token until its period ends.
 */
export async function endUnsealTokensOf(client: VaultClient, org: string): Promise<void> {
  const alias_mount_accessor = (await authMethods(client)).get("token")?.accessor;
  if (!alias_mount_accessor) throw new Error("the internal Vault does not report the token mount's accessor");
  const body = await client.write("identity/lookup/entity", {
    alias_name: unsealKeyName(org),
    alias_mount_accessor,
  });
  const { id } = (body?.data ?? {}) as { id?: string };
  if (id) await client.delete(`identity/entity/id/${id}`);
}

/** Revokes the client's own token, and verifies that a lookup with it is refused. */
export async function revokeSelf(client: VaultClient): Promise<void> {
  await client.write("auth/token/revoke-self");
  if (await isTokenAlive(client)) throw new Error("the token is still valid after it was revoked");
}

/**
 * Whether the client's token is valid. Only for tokens that may look themselves up, as root tokens may: for others,
 * Vault returns the same refusal as for a dead one.
 */
export async function isTokenAlive(client: VaultClient): Promise<boolean> {
  try {
    await client.read("auth/token/lookup-self");
    return true;
  } catch (error) {
    if (error instanceof VaultError && error.status === 403) return false;
    throw error;
  }
}

/** Vault answers 400 `invalid accessor` for a dead token, and 403 to a caller without permission. */
async function unlessDead<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof VaultError && /invalid accessor/.test(error.message)) return undefined;
    throw error;
  }
}
