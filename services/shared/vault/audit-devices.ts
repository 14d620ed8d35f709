import { ifFound, type VaultClient } from "./client.ts";

/** A file audit device, in the form in which Vault lists it. */
export interface FileAudit {
  type: string;
  options: Record<string, string>;
}

/** A file audit device with mode 0600; Vault reopens the file at SIGHUP. */
export const fileAudit = (path: string, options: Record<string, string> = {}): FileAudit => ({
  type: "file",
  options: { file_path: path, mode: "0600", ...options },
});

/** The audit devices, by name. Requires sudo. */
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

/** The request headers that audit devices record, sorted. Requires sudo. */
export async function auditedHeaders(client: VaultClient): Promise<string[]> {
  const body = await ifFound(client.read("sys/config/auditing/request-headers"));
  return Object.keys((body?.data as { headers?: object } | undefined)?.headers ?? {}).sort();
}

/** Makes audit devices record a request header in clear text. */
export async function auditHeader(client: VaultClient, header: string): Promise<void> {
  await client.write(`sys/config/auditing/request-headers/${header}`, { hmac: false });
}

/** Stops recording a request header. */
export async function dropAuditedHeader(client: VaultClient, header: string): Promise<void> {
  await client.delete(`sys/config/auditing/request-headers/${header}`);
}
