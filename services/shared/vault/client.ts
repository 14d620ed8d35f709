import nodeVault, { type client as NodeVaultClient } from "node-vault";
import type { Secret } from "../secret.ts";

/** Where a Vault is, and how to know that it is the right one. */
export interface VaultEndpoint {
  /** `http(s)://host:port`, without a path. */
  address: string;
  /** PEM of the authority that signed the server's certificate. Needed for https. */
  ca?: string;
  /** The name the certificate must carry. */
  serverName?: string;
}

/** Vault answered with an error status. Holds the status and Vault's own messages, nothing of the request. */
export class VaultError extends Error {
  override name = "VaultError";
  readonly status: number;
  readonly errors: string[];

  constructor(operation: string, status: number, errors: string[]) {
    super(`${operation}: Vault answered ${status}${errors.length > 0 ? `: ${errors.join("; ")}` : ""}`);
    this.status = status;
    this.errors = errors;
  }
}

/** No answer came: refused, reset, timed out, or not the certificate that was asked for. */
export class VaultUnreachableError extends Error {
  override name = "VaultUnreachableError";
  readonly code: string;

  constructor(operation: string, code: string) {
    super(`${operation}: no answer from Vault (${code})`);
    this.code = code;
  }
}

/** A body as Vault answers it; a noun's own function gives it a shape. */
export type VaultBody = Record<string, unknown>;

/** An administrative client for one identity at one Vault; paths are without `/v1/`. */
export interface VaultClient {
  read(path: string): Promise<VaultBody>;
  list(path: string): Promise<VaultBody>;
  write(path: string, data?: object): Promise<VaultBody>;
  delete(path: string): Promise<void>;
}

const TIMEOUT_MS = 15_000;

/**
 * A client on node-vault, with what that leaves open closed: a timeout, kept-alive connections that check
 * the CA and the server's name, no use of the environment, no `LIST` verb, no debug output, and errors
 * that carry nothing of the request (node-vault's own hold the token).
 * `token` is called for each request, so that a renewed login is picked up; give none for open paths.
 */
export function vaultClient(
  endpoint: VaultEndpoint,
  token?: () => Secret | Promise<Secret>,
  timeoutMs = TIMEOUT_MS,
): VaultClient {
  const client: NodeVaultClient = nodeVault({
    endpoint: endpoint.address,
    noCustomHTTPVerbs: true,
    debug: () => {},
    rpDefaults: { strictSSL: true, timeout: timeoutMs },
    requestOptions: {
      agentOptions: { ca: endpoint.ca, servername: endpoint.serverName, keepAlive: true, maxSockets: 16 },
    },
  } as nodeVault.VaultOptions);
  client.token = "";

  const call = async (
    operation: string,
    run: (options: { headers: Record<string, string> }) => Promise<unknown>,
  ) => {
    const headers: Record<string, string> = { "X-Vault-Request": "true" };
    if (token) headers["X-Vault-Token"] = (await token()).reveal();
    try {
      return ((await run({ headers })) ?? {}) as VaultBody;
    } catch (error) {
      throw withoutRequest(operation, error);
    }
  };

  return {
    read: (path) => call(`read ${path}`, (options) => client.read(path, options)),
    list: (path) => call(`list ${path}`, (options) => client.list(path, options)),
    write: (path, data = {}) => call(`write ${path}`, (options) => client.write(path, data, options)),
    delete: async (path) => {
      await call(`delete ${path}`, (options) => client.delete(path, options));
    },
  };
}

function withoutRequest(operation: string, error: unknown): Error {
  const { response, code } = error as {
    response?: { statusCode?: number; body?: { errors?: unknown } };
    code?: string;
  };
  if (response?.statusCode) {
    const errors = Array.isArray(response.body?.errors) ? response.body.errors.map(String) : [];
    return new VaultError(operation, response.statusCode, errors);
  }
  return new VaultUnreachableError(operation, code ?? "unknown");
}

/** Runs `read`, and gives undefined where Vault answers 404. */
export async function ifFound<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (error instanceof VaultError && error.status === 404) return undefined;
    throw error;
  }
}
