import { Secret } from "../../shared/secret.ts";
import type { AppRoleCredentials } from "../../shared/vault/approle.ts";
import { ifFound, type VaultClient } from "../../shared/vault/client.ts";
import { writePolicy } from "../../shared/vault/policies.ts";

const PERIOD_SECONDS = 3600;

/** A secret ID is long and random, so it cannot be guessed, but anyone who knows a role could lock it out. */
export async function disableLockout(root: VaultClient): Promise<void> {
  await root.write("sys/auth/approle/tune", { user_lockout_config: { lockout_disable: true } });
}

/**
 * Creates a service's AppRole and its policy, both named after the service, and issues a secret ID. Destroys the role's
 * earlier secret IDs. The role's tokens have that one policy and a period of an hour.
 */
export async function allowService(root: VaultClient, name: string): Promise<AppRoleCredentials> {
  await writePolicy(root, name);
  const role = `auth/approle/role/${name}`;
  await root.write(role, {
    bind_secret_id: true,
    token_policies: [name],
    token_no_default_policy: true,
    token_type: "service",
    token_period: PERIOD_SECONDS,
  });
  const older = await ifFound(root.list(`${role}/secret-id`));
  for (const secret_id_accessor of (older?.data as { keys: string[] } | undefined)?.keys ?? []) {
    await root.write(`${role}/secret-id-accessor/destroy`, { secret_id_accessor });
  }
  const { data: roleId } = (await root.read(`${role}/role-id`)) as { data: { role_id: string } };
  const { data: secretId } = (await root.write(`${role}/secret-id`)) as { data: { secret_id: string } };
  return { roleId: new Secret(roleId.role_id), secretId: new Secret(secretId.secret_id) };
}
