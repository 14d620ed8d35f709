import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Pins } from "../../shared/broker/pinned.ts";
import type { TlsIdentity } from "../../shared/http/server.ts";

export interface ListenerOptions {
  /** IPv4 address and port; port 0 picks a free one. */
  listen: string;
  tls: TlsIdentity;
  /** The certificates of the intakes. */
  intakes: Pins;
  /** Answers a request with POST at a path, without its query. */
  answer(path: string, request: IncomingMessage, response: ServerResponse): void;
}

export interface Listener {
  port: number;
  /** Takes no more connections, lets requests in hand end, for at most `graceMs`. */
  stop(graceMs: number): Promise<void>;
}

const MOST_CONNECTIONS = 2_048;
/** Longer than an intake keeps one. */
const KEPT_MS = 60_000;
const HEAD_MS = 5_000;

/**
 * The one way into a worker: TLS 1.3 with a client certificate that is pinned. Whoever has another one, or none, is ended
 * before a byte of HTTP is read. Throws if it cannot listen.
 */
export async function startListener({ listen, tls, intakes, answer }: ListenerOptions): Promise<Listener> {
  const server = createServer(
    {
      ...{ cert: tls.cert, key: tls.key.reveal(), minVersion: "TLSv1.3", ALPNProtocols: ["http/1.1"] },
      // No authority has signed an intake's certificate: it is compared below, as a whole.
      ...{ requestCert: true, rejectUnauthorized: false },
      ...{ handshakeTimeout: HEAD_MS, headersTimeout: HEAD_MS, requestTimeout: 0, keepAliveTimeout: KEPT_MS },
      ...{ maxHeaderSize: 8_192, connectionsCheckingInterval: 1_000, noDelay: true },
    },
    (request, response) => {
      response.sendDate = false;
      response.once("close", () => {
        if (!server.listening) setImmediate(() => server.closeIdleConnections());
      });
      const { method, url = "" } = request;
      if (method === "GET" && url === "/healthz") return void response.end("ok");
      if (method !== "POST") return void response.writeHead(405, { Connection: "close" }).end();
      answer(url, request, response);
    },
  );
  server.maxConnections = MOST_CONNECTIONS;
  // Before the listener by which Node's server reads from the connection.
  server.prependListener("secureConnection", (socket: TLSSocket) => {
    if (!isPinned(socket, intakes)) socket.destroy();
  });
  server.on("tlsClientError", (_, socket) => socket.destroy());
  server.on("checkContinue", (_request, response: ServerResponse) => response.writeHead(417).end());
  const colon = listen.lastIndexOf(":");
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: listen.slice(0, colon), port: Number(listen.slice(colon + 1)) }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  return { port: (server.address() as AddressInfo).port, stop: (graceMs) => stop(server, graceMs) };
}

const isPinned = (socket: TLSSocket, intakes: Pins): boolean =>
  intakes.has(socket.getPeerX509Certificate()?.fingerprint256 ?? "");

async function stop(server: Server, graceMs: number): Promise<void> {
  const late = setTimeout(() => server.closeAllConnections(), graceMs);
  // Those without a request are closed with it; the others, when theirs has ended.
  await new Promise<void>((resolve) => server.close(() => resolve()));
  clearTimeout(late);
}
