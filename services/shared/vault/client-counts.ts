import { ifFound, type VaultClient } from "./client.ts";
import { compareFields } from "./differences.ts";

const CONFIG = "sys/internal/counters/config";

/** Makes a Vault count the clients of each mount, without names. Off by default. */
export async function enableClientCounts(client: VaultClient): Promise<void> {
  await client.write(CONFIG, { enabled: "enable" });
}

/** The differences, as text, from the settings of {@link enableClientCounts}. */
export async function compareClientCounts(client: VaultClient): Promise<string[]> {
  const body = await ifFound(client.read(CONFIG));
  const { enabled } = (body?.data ?? {}) as { enabled?: string };
  return compareFields(CONFIG, { enabled: "enable" }, { enabled });
}

interface MonthlyCounts {
  by_namespace?: { mounts?: { mount_path: string; counts: { clients: number } }[] }[];
}

/** The number of clients that have logged in at an auth mount in this calendar month, UTC. */
export async function clientsOf(client: VaultClient, mount: string): Promise<number> {
  const body = await ifFound(client.read("sys/internal/counters/activity/monthly"));
  const { by_namespace = [] } = (body?.data ?? {}) as MonthlyCounts;
  return by_namespace
    .flatMap(({ mounts = [] }) => mounts)
    .filter(({ mount_path }) => mount_path === `auth/${mount}/`)
    .reduce((sum, { counts }) => sum + counts.clients, 0);
}
