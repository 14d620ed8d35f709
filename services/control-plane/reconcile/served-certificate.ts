import { once } from "node:events";
import { connect } from "node:tls";
import { type VaultEndpoint, VaultUnreachableError } from "../../shared/vault/client.ts";

/** The validity period of a certificate. */
export interface Validity {
  notBefore: Date;
  notAfter: Date;
}

/**
 * The validity of the certificate that a Vault serves now, which is not always the newest one issued for it. Throws
 * VaultUnreachableError if it serves no valid certificate of its own in time.
 */
export async function servedCertificate(endpoint: VaultEndpoint, timeoutMs: number): Promise<Validity> {
  const { hostname, port } = new URL(endpoint.address);
  const socket = connect({
    host: hostname,
    port: Number(port),
    rejectUnauthorized: true,
    ...(endpoint.ca && { ca: endpoint.ca }),
    ...(endpoint.serverName && { servername: endpoint.serverName }),
  });
  try {
    await once(socket, "secureConnect", { signal: AbortSignal.timeout(timeoutMs) });
    const { valid_from, valid_to } = socket.getPeerCertificate();
    return { notBefore: new Date(valid_from), notAfter: new Date(valid_to) };
  } catch (error) {
    const { code, name } = error as { code?: string; name?: string };
    throw new VaultUnreachableError("TLS", code ?? name ?? "unknown");
  } finally {
    socket.destroy();
  }
}

/** A week of a month's certificate, which is renewed when ten days are left. */
const TOO_LITTLE_LEFT = 7 / 30;

/** Whether the replacement of a certificate is overdue. */
export function isNearItsEnd({ notBefore, notAfter }: Validity, now: Date): boolean {
  const life = notAfter.getTime() - notBefore.getTime();
  return notAfter.getTime() - now.getTime() < life * TOO_LITTLE_LEFT;
}
