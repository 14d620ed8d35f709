import nodeVault from "node-vault";
import { Agent, buildConnector, type Dispatcher } from "undici";
import type { Secret } from "../secret.ts";

/** A Vault's address, and how to verify that it is the right one. */
export interface VaultEndpoint {
  /** `http(s)://host:port`, without a path. */
  address: string;
  /** PEM of the authority that signed the server's certificate. Required for https. */
  ca?: string;
  /** The name that the server's certificate must have. */
  serverName?: string;
  /**
   * The client certificate for the handshake. All requests then use one connection, and none is sent after it has
   * ended, since another server could answer on the next one.
   */
  client?: ClientCertificate;
}

/** Identifies the caller in the TLS handshake; PEM. */
export interface ClientCertificate {
  certificate: string;
  key: Secret;
}

/** Vault answered with an error status. Has the status and Vault's own messages, and nothing of the request. */
export class VaultError extends Error {
  override name = "VaultError";
  /** Method and path, such as `POST auth/approle/login`. */
  readonly operation: string;
  readonly status: number;
  readonly errors: string[];

  constructor(operation: string, status: number, errors: string[]) {
    super(`${operation}: Vault answered ${status}${errors.length > 0 ? `: ${errors.join("; ")}` : ""}`);
    this.operation = operation;
    this.status = status;
    this.errors = errors;
  }
}

/** No usable answer: connection refused or reset, timeout, answer too large, or not the expected certificate. */
export class VaultUnreachableError extends Error {
  override name = "VaultUnreachableError";
  readonly code: string;

  constructor(operation: string, code: string) {
    super(`${operation}: no answer from Vault (${code})`);
    this.code = code;
  }
}

/** A response body; the function for each resource defines its shape. */
export type VaultBody = Record<string, unknown>;

/** An administrative client for one identity at one Vault; paths are without `/v1/`. */
export interface VaultClient {
  read(path: string): Promise<VaultBody>;
  list(path: string): Promise<VaultBody>;
  /** `headers` are sent with this request only. */
  write(path: string, data?: object, headers?: Record<string, string>): Promise<VaultBody>;
  delete(path: string): Promise<void>;
}

const TIMEOUT_MS = 15_000;
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;
/** A single connection is kept open for as long as a login on it is valid. */
const KEEP_ONLY_CONNECTION_MS = 60_000;

/**
 * A client for one Vault: node-vault on our own transport instead of axios, which takes proxies from the environment
 * and follows redirects, both with the token. Ours ignores the environment, follows no redirect, checks the CA and the
 * server's name, bounds time and size, and its errors contain nothing of the request. `token` is called for each
 * request, so that a renewed login is used; omit it for open paths.
 */
export function vaultClient(
  endpoint: VaultEndpoint,
  token?: () => Secret | undefined | Promise<Secret>,
  timeoutMs = TIMEOUT_MS,
): VaultClient {
  const send = transport(endpoint, timeoutMs);
  const client = nodeVault({
    endpoint: endpoint.address,
    noCustomHTTPVerbs: true,
    debug: () => {},
    "request-promise": { defaults: () => send },
  } as nodeVault.VaultOptions);
  // Discard what node-vault may have taken from the environment.
  Object.assign(client, { token: "", namespace: "", pathPrefix: "" });

  const call = async (
    request: (options: { headers: Record<string, string> }) => Promise<unknown>,
    more: Record<string, string> = {},
  ) => {
    const headers: Record<string, string> = { ...more, "X-Vault-Request": "true" };
    const held = await token?.();
    if (held) headers["X-Vault-Token"] = held.reveal();
    return (await request({ headers })) as VaultBody;
  };

  return {
    read: (path) => call((options) => client.read(path, options)),
    list: (path) => call((options) => client.list(path, options)),
    write: (path, data = {}, headers) => call((options) => client.write(path, data, options), headers),
    delete: async (path) => {
      await call((options) => client.delete(path, options));
    },
  };
}

/** A request that node-vault passes to its transport; `path` is below `/v1`. */
interface Asked {
  method: Dispatcher.HttpMethod;
  path: string;
  headers: Record<string, string>;
  json?: object | boolean;
}

function transport(endpoint: VaultEndpoint, timeoutMs: number) {
  const { ca, serverName, client } = endpoint;
  const connect = {
    timeout: timeoutMs,
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca }),
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(client === undefined ? {} : { cert: client.certificate, key: client.key.reveal() }),
  };
  const agent = new Agent({
    maxResponseSize: MAX_ANSWER_BYTES,
    ...(client === undefined
      ? { connections: 16, connect }
      : {
          connections: 1,
          keepAliveTimeout: KEEP_ONLY_CONNECTION_MS,
          connect: once(buildConnector(connect)),
        }),
  });
  return async ({ method, path, headers, json }: Asked) => {
    const what = `${method} ${path.slice(1).split("?")[0]}`;
    const data = typeof json === "object" ? JSON.stringify(json) : null;
    let status: number;
    let text: string;
    try {
      const answer = await agent.request({
        origin: endpoint.address,
        path: `/v1${path}`,
        method,
        headers: data === null ? headers : { ...headers, "Content-Type": "application/json" },
        body: data,
        signal: AbortSignal.timeout(timeoutMs),
      });
      status = answer.statusCode;
      text = await answer.body.text();
    } catch (error) {
      const { code, name } = error as { code?: string; name?: string };
      throw new VaultUnreachableError(what, code ?? name ?? "unknown");
    }
    const body = parse(text);
    if (status !== 200 && status !== 204) {
      throw new VaultError(what, status, Array.isArray(body.errors) ? body.errors.map(String) : []);
    }
    return { statusCode: status, body, request: { path } };
  };
}

/** Allows one connection, and refuses another. */
function once(connect: buildConnector.connector): buildConnector.connector {
  let isMade = false;
  return (options, callback) => {
    if (isMade) {
      callback(Object.assign(new Error("the connection has ended"), { code: "CONNECTION_ENDED" }), null);
      return;
    }
    isMade = true;
    connect(options, callback);
  };
}

/** Vault answers with JSON or nothing. Any other body comes from something else, and is ignored. */
function parse(text: string): VaultBody {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === "object" && body !== null ? (body as VaultBody) : {};
  } catch {
    return {};
  }
}

/** The result of `read`, or undefined if Vault answers 404. */
export async function ifFound<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (error instanceof VaultError && error.status === 404) return undefined;
    throw error;
  }
}
