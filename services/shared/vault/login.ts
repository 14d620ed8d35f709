import { Secret } from "../secret.ts";
import { type VaultEndpoint, vaultClient } from "./client.ts";

export interface Login {
  token: Secret;
  leaseSeconds: number;
}

/** Logs in at an auth method's login path. Throws as {@link vaultClient} does. */
export async function login(endpoint: VaultEndpoint, path: string, credentials: object): Promise<Login> {
  const body = await vaultClient(endpoint).write(path, credentials);
  const auth = body.auth as { client_token: string; lease_duration: number };
  return { token: new Secret(auth.client_token), leaseSeconds: auth.lease_duration };
}
