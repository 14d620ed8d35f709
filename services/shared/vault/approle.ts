import type { Secret } from "../secret.ts";
import { type VaultEndpoint, VaultError, vaultClient } from "./client.ts";
import { type Login, login } from "./login.ts";

/** What a service logs in with. */
export interface AppRoleCredentials {
  roleId: Secret;
  secretId: Secret;
}

/**
 * A lasting AppRole login: `token` logs in on its first call, renews the token after half of its lease, and logs in
 * again if the token is dead. Concurrent calls share one attempt. `now` returns milliseconds.
 */
export function appRoleLogin(
  endpoint: VaultEndpoint,
  { roleId, secretId }: AppRoleCredentials,
  now: () => number = Date.now,
): { token(): Promise<Secret> } {
  let held: { token: Secret; renewAt: number; endsAt: number } | undefined;
  let obtaining: Promise<Secret> | undefined;

  const logIn = () =>
    login(endpoint, "auth/approle/login", { role_id: roleId.reveal(), secret_id: secretId.reveal() });

  const renew = async (token: Secret): Promise<Login> => {
    try {
      const body = await vaultClient(endpoint, () => token).write("auth/token/renew-self");
      return { token, leaseSeconds: (body.auth as { lease_duration: number }).lease_duration };
    } catch (error) {
      if (error instanceof VaultError && error.status === 403) return logIn();
      throw error;
    }
  };

  const obtain = async (): Promise<Secret> => {
    const since = now();
    const { token, leaseSeconds } = held && since < held.endsAt ? await renew(held.token) : await logIn();
    held = { token, renewAt: since + leaseSeconds * 500, endsAt: since + leaseSeconds * 1000 };
    return token;
  };

  return {
    async token() {
      if (held && now() < held.renewAt) return held.token;
      obtaining ??= obtain().finally(() => {
        obtaining = undefined;
      });
      return obtaining;
    },
  };
}
