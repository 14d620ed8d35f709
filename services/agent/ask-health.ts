import { readFile } from "node:fs/promises";
import { request as plainRequest } from "node:http";
import { request as tlsRequest } from "node:https";

/** A Vault's health. */
export interface Health {
  answers: boolean;
  sealed: boolean;
  /** The reason why it does not answer, or the fault in its answer. */
  problem?: string;
}

export interface HealthTarget {
  /** `host:port`. */
  address: string;
  /** File with the certificate that it must serve; plain HTTP if absent. */
  certificate?: string;
  /** The name in that certificate. */
  serverName: string;
}

const TIMEOUT_MS = 2_000;

/**
 * Asks a Vault for its health, without a token. Trusts only the certificate issued to it, so that another server on
 * its address is not mistaken for it; over plain HTTP it would be.
 */
export async function askHealth(target: HealthTarget): Promise<Health> {
  try {
    return { answers: true, sealed: (await get(target)) === 503 };
  } catch (error) {
    const { code, message, name } = error as NodeJS.ErrnoException;
    const reason = code ?? (message || name);
    // Only the time is wrong; the certificate is the right one. With any other error it may be another server.
    if (code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID") {
      return { answers: true, sealed: false, problem: `its certificate is not valid now (${reason})` };
    }
    return { answers: false, sealed: false, problem: `it does not answer (${reason})` };
  }
}

async function get({ address, certificate, serverName }: HealthTarget): Promise<number | undefined> {
  const tls = certificate && {
    ca: await readFile(certificate),
    allowPartialTrustChain: true,
    servername: serverName,
  };
  const url = `${tls ? "https" : "http"}://${address}/v1/sys/health?standbyok=true`;
  const options = { agent: false, signal: AbortSignal.timeout(TIMEOUT_MS), ...tls };
  return new Promise((resolve, reject) => {
    const request = (tls ? tlsRequest : plainRequest)(url, options, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.once("error", reject).end();
  });
}
