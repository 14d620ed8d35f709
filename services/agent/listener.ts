import type { InstanceSpec } from "../shared/instance-spec.ts";

/** Where a Vault will listen, and the certificate it will show (`{dir}` still in it); none means plain HTTP. */
export interface Listener {
  address: string;
  certificate?: string;
}

/** Reads the one TCP listener out of a server configuration; throws where there is not exactly one. */
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

/** Vault takes a block alone or in a list. */
function list(value: unknown): Record<string, unknown>[] {
  const values = Array.isArray(value) ? value : [value];
  return values.filter((each) => typeof each === "object" && each !== null);
}
