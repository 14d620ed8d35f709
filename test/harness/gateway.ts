import { mkdtemp, rm } from "node:fs/promises";
import { request as httpRequest, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { buildGateway } from "../../services/gateway/app.ts";
import type { LimitRates } from "../../services/gateway/limits.ts";
import type { Metrics } from "../../services/gateway/metrics.ts";
import type { UpstreamTimes } from "../../services/gateway/upstreams.ts";
import type { Directory } from "../../services/shared/directory/directory.ts";
import { DirectorySource } from "../../services/shared/directory/load.ts";
import { RevocationSource } from "../../services/shared/revocations/load.ts";
import type { RevocationList } from "../../services/shared/revocations/revocations.ts";
import {
  type DirectoryKey,
  type DirectoryServer,
  newDirectoryKey,
  startDirectoryServer,
} from "./directory.ts";
import type { TestIssuer } from "./tokens.ts";

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** The text as JSON; undefined where it is empty. */
  json: { errors?: string[]; data?: Record<string, unknown> } & Record<string, unknown>;
}

/** A gateway in this process, with a directory server and a key of its own. */
export interface TestGateway {
  url: string;
  app: ReturnType<typeof buildGateway>;
  directory: DirectorySource;
  directoryServer: DirectoryServer;
  /** Publishes these organizations as the next version, and has the gateway fetch it. */
  publish(orgs: OrgEntry[], changes?: Partial<Directory>): Promise<void>;
  /** Publishes these revocations as the next version, and has the gateway fetch it. */
  revoke(orgs: RevocationList["orgs"]): Promise<void>;
  /** A request whose path goes out exactly as it is given. */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** Sends bytes, and gives whatever comes back until the connection ends. */
  raw(bytes: string | Buffer): Promise<string>;
  /** The log so far, a record a line. */
  log(): Record<string, unknown>[];
  close(): Promise<void>;
}

export interface OrgEntry {
  id: string;
  claim: string;
  address: string;
  serverKey?: string;
  statement?: string;
  issuer?: string;
  machineTokens?: true;
}

export interface CallOptions {
  token?: string;
  headers?: OutgoingHttpHeaders;
  body?: string | Buffer | object;
  /** The caller's own address, of 127.0.0.0/8. */
  from?: string;
}

export interface TestGatewayOptions {
  issuers: TestIssuer[];
  ca: string;
  orgs: OrgEntry[];
  now?: () => number;
  maxLogins?: number;
  upstreamTimes?: UpstreamTimes;
  /** None unless given. */
  limits?: LimitRates;
  behindProxy?: boolean;
  metrics?: Metrics;
  /** What signs the directory; a key made for it unless given. */
  directoryKey?: Pick<DirectoryKey, "keys" | "sign" | "signRevocations">;
}

export async function startGateway(options: TestGatewayOptions): Promise<TestGateway> {
  const {
    issuers,
    ca,
    orgs,
    now = Date.now,
    maxLogins = 100,
    upstreamTimes,
    limits = {},
    behindProxy = false,
    metrics,
    directoryKey: key = newDirectoryKey(),
  } = options;
  const dir = await mkdtemp(join(tmpdir(), "strongroom-gateway-"));
  const directoryServer = await startDirectoryServer(key);
  const lines: Record<string, unknown>[] = [];
  const destination = {
    write(line: string) {
      lines.push(JSON.parse(line));
    },
  };
  const logger = pino({}, destination);
  const copy = join(dir, "directory.jws");
  const directory = new DirectorySource({ url: directoryServer.url, keys: key.keys, copy, logger });
  const { revocationsUrl } = directoryServer;
  const revocations = new RevocationSource({
    ...{ url: revocationsUrl, key: key.keys.directory, copy: join(dir, "revocations.jws"), logger, now },
    maxTokenLifetimeSeconds: 3600,
  });
  const published = { directory, revocations, revocationsUrl };
  const app = buildGateway({
    ...{ logger, ...published, ca, maxTokenLifetimeSeconds: 3600, maxLogins, limits, behindProxy, now },
    ...(upstreamTimes && { upstreamTimes }),
    ...(metrics && { metrics }),
  });

  let version = 0;
  const publish = async (list: OrgEntry[], changes: Partial<Directory> = {}) => {
    await directoryServer.publish({
      version: ++version,
      issuedAt: new Date().toISOString(),
      issuers: issuers.map(({ issuer }) => issuer),
      orgs: list.map((org) => ({ issuer: issuers[0]?.issuer.issuer ?? "", ...org })),
      deleted: [],
      ...changes,
    });
    await directory.refresh();
  };
  let revocationsVersion = 1;
  const revoke = async (list: RevocationList["orgs"]) => {
    const version = ++revocationsVersion;
    await directoryServer.publishRevocations({ version, maxTokenLifetimeSeconds: 3600, orgs: list });
    await revocations.refresh();
  };
  await publish(orgs);
  await revocations.refresh();
  await app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = app.server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    app,
    directory,
    directoryServer,
    publish,
    revoke,
    call: (method, path, callOptions = {}) => call(port, method, path, callOptions),
    raw: (bytes) => raw(port, bytes),
    log: () => lines,
    async close() {
      directory.close();
      await app.close();
      await directoryServer.close();
      await rm(dir, { recursive: true });
    },
  };
}

function call(port: number, method: string, path: string, options: CallOptions): Promise<Answer> {
  const { token, headers, body, from = "127.0.0.1" } = options;
  const payload = typeof body === "string" || Buffer.isBuffer(body) || !body ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        ...{ host: "127.0.0.1", localAddress: from, port, method, path, agent: false },
        headers: { ...(token && { authorization: `Bearer ${token}` }), ...headers },
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk) => {
          text += chunk;
        });
        response.on("error", reject);
        response.on("end", () => {
          const json = text === "" ? undefined : JSON.parse(text);
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json });
        });
      },
    );
    request.on("error", reject);
    request.end(payload);
  });
}

function raw(port: number, bytes: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
    });
    socket.on("close", () => resolve(text));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNRESET") resolve(text);
      else reject(error);
    });
  });
}
