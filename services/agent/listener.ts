import type { InstanceSpec } from "../shared/instance-spec.ts";

/** A Vault's listen address and certificate path (with `{dir}` unreplaced); no certificate means plain HTTP. */
export interface Listener {
  address: string;
  certificate?: string;
}

/** The TCP listener of a server configuration. Throws unless there is exactly one. */
export function listenerOf(config: InstanceSpec["config"]): Listener {
  const listeners = list(config.listener).flatMap((each) => list(each.tcp));
  const [listener, another] = listeners;
  const address = listener?.address;
  if (!listener || another || typeof address !== "string") {
    throw new Error("its configuration does not have exactly one tcp listener");
  }
  const certificate = listener.tls_cert_file;
  return { address, ...(typeof certificate === "string" && { certificate }) };
}

/** Vault accepts a single block or a list of blocks. */
function list(value: unknown): Record<string, unknown>[] {
  const values = Array.isArray(value) ? value : [value];
  return values.filter((each) => typeof each === "object" && each !== null);
}
