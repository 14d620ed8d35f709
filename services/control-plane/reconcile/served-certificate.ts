import { once } from "node:events";
import { connect } from "node:tls";
import { type VaultEndpoint, VaultUnreachableError } from "../../shared/vault/client.ts";

/** From when to when a certificate holds. */
export interface Validity {
  notBefore: Date;
  notAfter: Date;
}

/**
 * The validity of the certificate that a Vault shows now, which is not always the newest one that was issued
 * for it. VaultUnreachableError where it shows none of its own in time, one that has ended among them.
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

/** Of a month's certificate, which is renewed when ten days are left, a week. */
const TOO_LITTLE_LEFT = 7 / 30;

/** Whether a certificate should long have been replaced. */
export function isNearItsEnd({ notBefore, notAfter }: Validity, now: Date): boolean {
  const life = notAfter.getTime() - notBefore.getTime();
  return notAfter.getTime() - now.getTime() < life * TOO_LITTLE_LEFT;
}
