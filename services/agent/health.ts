import { readFile } from "node:fs/promises";
import { request as plainRequest } from "node:http";
import { request as tlsRequest } from "node:https";

/** What a Vault says of itself. */
export interface Health {
  answers: boolean;
  sealed: boolean;
  /** Why there is no answer, or what is wrong with it. */
  problem?: string;
}

export interface HealthTarget {
  /** `host:port`. */
  address: string;
  /** File with the certificate that it must show; plain HTTP without. */
  certificate?: string;
  /** The name in that certificate. */
  serverName: string;
}

const TIMEOUT_MS = 2_000;

/** Asks a Vault for its health, without a token. Trusts the very certificate that it was given to show. */
export async function askHealth(target: HealthTarget): Promise<Health> {
  try {
    return { answers: true, sealed: (await get(target)) === 503 };
  } catch (error) {
    const { code, message, name } = error as NodeJS.ErrnoException;
    const certificate = code?.match(/CERT|^UNABLE_TO|^DEPTH_ZERO/);
    return certificate
      ? { answers: true, sealed: false, problem: `its certificate is not accepted (${code})` }
      : { answers: false, sealed: false, problem: `it does not answer (${code ?? (message || name)})` };
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
