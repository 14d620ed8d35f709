import { ifFound, type VaultClient } from "./client.ts";

/** An audit device that writes to a file, as Vault lists it. */
export interface FileAudit {
  type: string;
  options: Record<string, string>;
}

/** A device that writes to a file, for its owner's eyes only; reopened at SIGHUP. */
export const fileAudit = (path: string, options: Record<string, string> = {}): FileAudit => ({
  type: "file",
  options: { file_path: path, mode: "0600", ...options },
});

/** The audit devices, by name. Reading them takes sudo. */
export async function auditDevices(client: VaultClient): Promise<Map<string, FileAudit>> {
  const { data } = (await client.read("sys/audit")) as { data: Record<string, FileAudit> };
  return new Map(Object.entries(data).map(([name, device]) => [name.replace(/\/$/, ""), device]));
}

/** Enables each device that is missing. */
export async function enableAudit(client: VaultClient, wanted: Record<string, FileAudit>): Promise<void> {
  const present = await auditDevices(client);
  for (const [name, device] of Object.entries(wanted)) {
    if (!present.has(name)) await client.write(`sys/audit/${name}`, device);
  }
}

/** The request headers that the devices record, beside Vault's own choice. Reading them takes sudo. */
export async function auditedHeaders(client: VaultClient): Promise<string[]> {
  const body = await ifFound(client.read("sys/config/auditing/request-headers"));
  return Object.keys((body?.data as { headers?: object } | undefined)?.headers ?? {}).sort();
}

/** Has a request header recorded in clear. */
export async function auditHeader(client: VaultClient, header: string): Promise<void> {
  await client.write(`sys/config/auditing/request-headers/${header}`, { hmac: false });
}

/** Has a request header recorded no longer. */
export async function dropAuditedHeader(client: VaultClient, header: string): Promise<void> {
  await client.delete(`sys/config/auditing/request-headers/${header}`);
}
