import { X509Certificate } from "node:crypto";
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer as createPlainServer } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { newOrgId } from "../../services/shared/org.ts";
import { keyDigest } from "../../services/shared/server-key.ts";
import { issueOrgCertificate } from "../../services/shared/vault/pki.ts";
import type { InternalVault } from "./vault.ts";

/** A request as it came in. */
export interface Recorded {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  body: string;
}

/**
 * Stands where an organization's Vault would, with that organization's certificate, and records whatever
 * reaches it. It is no Vault: it shows what is sent, and answers what a test tells it to.
 */
export interface Recorder {
  org: string;
  address: string;
  /** Digest of its key, as a directory names it; of the one without TLS, of no key. */
  serverKey: string;
  requests: Recorded[];
  /** TCP connections made to it, whether or not their handshake went well. */
  connections: number;
  /** How it answers; a login gets a token, all else an empty object, unless set. */
  answer: ((request: Recorded, response: ServerResponse) => void) | undefined;
  /** Forgets what it has recorded. */
  clear(): void;
  /** Closes the connections that are open. */
  hangUp(): void;
  /** Writes to every open connection, though nobody asked. */
  inject(text: string): void;
  close(): Promise<void>;
}

export async function startRecorder(internal: InternalVault, org: string = newOrgId()): Promise<Recorder> {
  const { certificate, key } = await issueOrgCertificate(internal.controlPlane, org, 3600);
  const tls = createServer({ cert: certificate, key: key.reveal() });
  return await record(tls, "https", org, keyDigest(new X509Certificate(certificate).publicKey));
}

/** The same without TLS, for what is asked of it whatever the connection: it needs no Vault for a certificate. */
export const startPlainRecorder = (org: string = newOrgId()): Promise<Recorder> =>
  record(createPlainServer(), "http", org, "");

async function record(
  server: Server,
  scheme: "http" | "https",
  org: string,
  serverKey: string,
): Promise<Recorder> {
  const sockets = new Set<Duplex>();
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const { method = "", url = "", headers } = request;
      const recorded = { method, url, headers, body: Buffer.concat(chunks).toString() };
      self.requests.push(recorded);
      (self.answer ?? answerAsVault)(recorded, response);
    });
  });
  server.on("connection", (socket) => {
    self.connections++;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  const secured = new Set<Duplex>();
  server.on("secureConnection", (socket) => {
    secured.add(socket);
    socket.on("close", () => secured.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const hangUp = () => {
    for (const socket of sockets) socket.destroy();
  };
  const self: Recorder = {
    org,
    address: `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    serverKey,
    requests: [],
    connections: 0,
    answer: undefined,
    clear() {
      self.requests = [];
      self.connections = 0;
    },
    hangUp,
    inject(text) {
      for (const socket of secured) socket.write(text);
    },
    close() {
      hangUp();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return self;
}

/** Answers a login with a token, anything else with an empty object. */
export function answerAsVault({ url }: Recorded, response: ServerResponse): void {
  const body = url === "/v1/auth/jwt/login" ? { auth: { client_token: "hvb.recorder" } } : { data: {} };
  response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(body));
}
