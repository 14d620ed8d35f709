import { request as httpRequest, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { pino } from "pino";
import { buildGateway } from "../../services/gateway/app.ts";
import type { Metrics } from "../../services/gateway/record/metrics.ts";
import type { UpstreamTimes } from "../../services/gateway/upstream/upstreams.ts";
import type { LimitRates } from "../../services/shared/front/limits.ts";
import { type OrgEntry, type Published, type PublishedOptions, startPublished } from "./published.ts";

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** The text as JSON; undefined where it is empty. */
  json: { errors?: string[]; data?: Record<string, unknown> } & Record<string, unknown>;
}

/** A gateway in this process, with what is published for it. */
export interface TestGateway extends Pick<Published, "directory" | "directoryServer" | "publish" | "revoke"> {
  url: string;
  app: ReturnType<typeof buildGateway>;
  /** A request whose path goes out exactly as it is given. */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** Sends bytes, and gives whatever comes back until the connection ends. */
  raw(bytes: string | Buffer): Promise<string>;
  /** The log so far, a record a line. */
  log(): Record<string, unknown>[];
  close(): Promise<void>;
}

export interface CallOptions {
  token?: string;
  headers?: OutgoingHttpHeaders;
  body?: string | Buffer | object;
  /** The caller's own address, of 127.0.0.0/8. */
  from?: string;
}

export interface TestGatewayOptions extends Pick<PublishedOptions, "issuers" | "directoryKey"> {
  ca: string;
  orgs: OrgEntry[];
  now?: () => number;
  maxLogins?: number;
  upstreamTimes?: UpstreamTimes;
  /** None unless given. */
  limits?: LimitRates;
  behindProxy?: boolean;
  metrics?: Metrics;
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
    directoryKey,
  } = options;
  const lines: Record<string, unknown>[] = [];
  const destination = {
    write(line: string) {
      lines.push(JSON.parse(line));
    },
  };
  const logger = pino({}, destination);
  const published = await startPublished({ issuers, logger, now, directoryKey });
  const { directory, revocations, directoryServer, publish, revoke } = published;
  const sources = { directory, revocations, revocationsUrl: directoryServer.revocationsUrl };
  const app = buildGateway({
    ...{ logger, ...sources, ca, maxTokenLifetimeSeconds: 3600, maxLogins, limits, behindProxy, now },
    ...(upstreamTimes && { upstreamTimes }),
    ...(metrics && { metrics }),
  });
  await publish(orgs);
  await app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = app.server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    ...{ app, directory, directoryServer, publish, revoke },
    call: (method, path, callOptions = {}) => call(port, method, path, callOptions),
    raw: (bytes) => raw(port, bytes),
    log: () => lines,
    async close() {
      await app.close();
      await published.close();
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
