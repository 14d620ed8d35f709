import nodeVault from "node-vault";
import { Agent, buildConnector, type Dispatcher } from "undici";
import type { Secret } from "../secret.ts";

/** Where a Vault is, and how to know that it is the right one. */
export interface VaultEndpoint {
  /** `http(s)://host:port`, without a path. */
  address: string;
  /** PEM of the authority that signed the server's certificate. Needed for https. */
  ca?: string;
  /** The name the certificate must carry. */
  serverName?: string;
  /**
   * Shown in the handshake. All requests then go over one connection, and none goes out once that has ended:
   * whoever answers the next one need not be who answered the first.
   */
  client?: ClientCertificate;
}

/** By which a caller proves who it is in the TLS handshake; PEM. */
export interface ClientCertificate {
  certificate: string;
  key: Secret;
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

/** No answer came: refused, reset, timed out, too large, or not the certificate that was asked for. */
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
  /** `headers` go with this one request. */
  write(path: string, data?: object, headers?: Record<string, string>): Promise<VaultBody>;
  delete(path: string): Promise<void>;
}

const TIMEOUT_MS = 15_000;
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;
/** An only connection is kept for as long as a login on it is good. */
const KEEP_ONLY_CONNECTION_MS = 60_000;

/**
 * A client for one Vault: node-vault, on a transport of our own in place of axios, which takes proxies from the
 * environment and follows redirects, both with the token. This one uses nothing of the environment, follows no
 * redirect, checks the CA and the server's name, bounds time and size, and its errors carry nothing of the
 * request. `token` is called for each request, so that a renewed login is picked up; give none for open paths.
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
  // What it may have taken from the environment.
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

/** What node-vault asks its transport for; `path` is below `/v1`. */
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

/** Makes one connection, and refuses to make another. */
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

/** Vault answers JSON or nothing; what is neither comes from something else and holds no message worth keeping. */
function parse(text: string): VaultBody {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === "object" && body !== null ? (body as VaultBody) : {};
  } catch {
    return {};
  }
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
