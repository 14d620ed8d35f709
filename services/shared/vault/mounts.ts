import type { VaultClient } from "./client.ts";

/** A mount, in the form in which Vault lists it. */
export interface Mount {
  type: string;
  accessor: string;
  options: Record<string, string> | null;
  /** Its tuning parameters. */
  config: Record<string, unknown>;
}

/** The secrets engines, by path without the trailing slash. */
export const secretsEngines = (client: VaultClient): Promise<Map<string, Mount>> =>
  mounts(client, "sys/mounts");

/** The auth methods, by path without the trailing slash. */
export const authMethods = (client: VaultClient): Promise<Map<string, Mount>> => mounts(client, "sys/auth");

async function mounts(client: VaultClient, path: string): Promise<Map<string, Mount>> {
  const { data } = (await client.read(path)) as { data: Record<string, Mount> };
  return new Map(Object.entries(data).map(([name, mount]) => [name.replace(/\/$/, ""), mount]));
}

/** Enables each auth method (path to type) that is missing. */
export async function enableAuthMethods(client: VaultClient, wanted: Record<string, string>): Promise<void> {
  const methods = Object.entries(wanted).map(([path, type]) => [path, { type }]);
  await enable(client, "sys/auth", Object.fromEntries(methods));
}

/** Enables each secrets engine (path to settings) that is missing. */
export const enableSecretsEngines = (
  client: VaultClient,
  wanted: Record<string, { type: string; options?: object; config?: object }>,
): Promise<void> => enable(client, "sys/mounts", wanted);

async function enable(client: VaultClient, table: string, wanted: Record<string, object>): Promise<void> {
  const present = await mounts(client, table);
  const enabled = Object.entries(wanted)
    .filter(([path]) => !present.has(path))
    .map(async ([path, settings]) => {
      try {
        await client.write(`${table}/${path}`, settings);
      } catch (error) {
        // An earlier, interrupted attempt may have enabled it meanwhile.
        if (!(await mounts(client, table)).has(path)) throw error;
      }
    });
  await Promise.all(enabled);
}
