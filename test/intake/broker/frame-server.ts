import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { selfSignedCertificate } from "../../../services/cli/platform/self-signed-certificate.ts";
import { type BrokerClient, createBrokerClient } from "../../../services/intake/broker/client.ts";
import type { BrokerSettings } from "../../../services/intake/broker/connections.ts";
import type { AnswerHead, CallFailed, UseCall } from "../../../services/shared/broker/calls.ts";
import { dataFrames, type Frame, FrameParser, jsonFrame } from "../../../services/shared/broker/frames.ts";
import type { Receipt } from "../../../services/shared/receipts/receipt.ts";

/** A use as the broker's side of the wire sees it. */
export interface Served {
  call: UseCall;
  request: IncomingMessage;
  response: ServerResponse;
  /** Waits until the intake lets the request go. Undefined if the call ends before. */
  go(): Promise<Receipt | undefined>;
  /** The body's parts as they come, to its end. Throws if it breaks off. */
  body(): AsyncGenerator<Buffer>;
  head(status?: number, headers?: AnswerHead["headers"]): void;
  /** Resolves once there is room for more. */
  data(chunk: string | Buffer): Promise<void>;
  end(changes?: object): void;
  /** Head, data and end in one write. */
  whole(status: number, headers: AnswerHead["headers"], text: string, changes?: object): void;
  failed(failure: CallFailed["failure"], changes?: Partial<CallFailed>): void;
}

/**
 * The broker's side of the wire alone, over real TLS, for what no honest broker does and for the intake's own part: it
 * verifies nothing, opens nothing and connects nowhere.
 */
export interface FrameServer {
  url: string;
  settings: BrokerSettings;
  client: BrokerClient;
  /** Serves the calls to come. */
  serve: (served: Served) => Promise<void> | void;
  operate: (operation: string, body: object) => { status: number; json: unknown };
  /** Calls in the order in which they came. */
  calls: UseCall[];
  /** Connections made, by the fingerprint of the client's certificate. */
  clients: (string | undefined)[];
  close(): Promise<void>;
}

export async function startFrameServer(): Promise<FrameServer> {
  const [own, client] = [selfSignedCertificate("broker", 1), selfSignedCertificate("intake", 1)];
  const server = createServer({
    ...{ key: own.key.reveal(), cert: own.certificate, minVersion: "TLSv1.3" },
    ...{ requestCert: true, rejectUnauthorized: false, keepAliveTimeout: 30_000 },
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const settings: BrokerSettings = {
    ...{ url, client },
    pins: new Set([new X509Certificate(own.certificate).fingerprint256]),
  };
  const started: FrameServer = {
    ...{ url, settings, client: createBrokerClient(settings), calls: [], clients: [] },
    serve: ({ failed }) => failed("internal"),
    operate: () => ({ status: 404, json: {} }),
    async close() {
      started.client.close();
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  server.on("secureConnection", (socket: TLSSocket) => {
    started.clients.push(socket.getPeerX509Certificate()?.fingerprint256);
  });
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    response.setMaxListeners(0);
    request.on("error", () => {});
    response.on("error", () => {});
    const serve = request.url === "/use" ? serveUse : serveOperation;
    serve(started, request, response).catch(() => response.destroy());
  });
  return started;
}

async function serveUse(
  started: FrameServer,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const frames = readFrames(request);
  const first = await next(frames);
  if (!first) return;
  const call = JSON.parse(first.payload.toString()) as UseCall;
  started.calls.push(call);
  response.writeHead(200, { "content-type": "application/octet-stream" });
  let isEnded = false;
  const closed = once(response, "close");
  const write = (bytes: Uint8Array) => response.write(bytes);
  await started.serve({
    ...{ call, request, response },
    async go() {
      const frame = await next(frames);
      return frame && (JSON.parse(frame.payload.toString()) as { receipt: Receipt }).receipt;
    },
    async *body() {
      for (let frame = await frames.next(); !frame.done; frame = await frames.next()) {
        if (frame.value.type === "end") return;
        yield Buffer.from(frame.value.payload);
      }
      throw new Error("the body broke off");
    },
    head: (status = 200, headers = []) => write(jsonFrame("head", { status, headers })),
    async data(chunk) {
      let hasRoom = true;
      for (const piece of dataFrames(Buffer.from(chunk))) hasRoom = write(piece);
      if (!hasRoom) await Promise.race([once(response, "drain"), closed]);
    },
    end(changes = {}) {
      isEnded = true;
      response.end(jsonFrame("end", { sentBytes: 10, receivedBytes: 20, scrubbed: 0, ...changes }));
    },
    whole(status, headers, text, changes = {}) {
      isEnded = true;
      const end = { sentBytes: 10, receivedBytes: text.length, scrubbed: 0, ...changes };
      const data = [...dataFrames(Buffer.from(text))];
      response.end(Buffer.concat([jsonFrame("head", { status, headers }), ...data, jsonFrame("end", end)]));
    },
    failed(failure, changes = {}) {
      isEnded = true;
      response.end(jsonFrame("failed", { failure, detail: "It failed.", isSent: false, ...changes }));
    },
  });
  // What is left of the intake's frames, so that the connection can be kept.
  if (isEnded) for await (const _ of frames);
}

async function next(frames: AsyncGenerator<Frame>): Promise<Frame | undefined> {
  try {
    const { value, done } = await frames.next();
    return done ? undefined : value;
  } catch {
    return undefined;
  }
}

async function serveOperation(
  started: FrameServer,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = JSON.parse(Buffer.concat(chunks).toString()) as object;
  const { status, json } = started.operate((request.url ?? "").slice(1), body);
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(json));
}

async function* readFrames(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Frame> {
  const parser = new FrameParser();
  for await (const chunk of stream) yield* parser.push(chunk);
  parser.end();
}
