import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { newOrgId, orgServerName } from "../../services/shared/org.ts";
import { issueOrgCertificate } from "../../services/shared/vault/pki.ts";
import type { PrivateDestination } from "../../services/worker/outbound/private-destinations.ts";
import type { InternalVault } from "./vault.ts";

/** A request that took effect at a destination. */
export interface Effect {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** A provider's API on loopback, over TLS, that records every request before it answers. */
export interface Destination {
  /** `https://NAME:PORT`; the name resolves nowhere. */
  origin: string;
  port: number;
  /** What lets a worker connect to it. */
  exception: PrivateDestination;
  effects: Effect[];
  /** How often a request came with this `Idempotency-Key`. */
  count(job: string): number;
  /** TCP connections made to it. */
  connections: number;
  /** How it answers: `200` and an empty JSON object unless set. */
  answer: ((effect: Effect, response: ServerResponse) => void) | undefined;
  /** Refuses connections, and ends those that are open. */
  down(): Promise<void>;
  /** Accepts them again, on the same port. */
  up(): Promise<void>;
  clear(): void;
}

export async function startDestination(internal: InternalVault): Promise<Destination> {
  const org = newOrgId();
  const { certificate, key } = await issueOrgCertificate(internal.controlPlane, org, 24 * 3600);
  const tls = { cert: certificate, key: key.reveal() };
  const sockets = new Set<Duplex>();
  const counts = new Map<string, number>();
  let server: Server | undefined;

  const record = async (request: IncomingMessage, response: ServerResponse) => {
    const { method = "", url = "", headers } = request;
    const chunks: Buffer[] = await request.toArray();
    const effect = { method, url, headers, body: Buffer.concat(chunks) };
    self.effects.push(effect);
    const job = headers["idempotency-key"];
    if (typeof job === "string") counts.set(job, self.count(job) + 1);
    if (self.answer) self.answer(effect, response);
    else response.writeHead(200, { "Content-Type": "application/json" }).end("{}");
  };
  const self: Destination = {
    origin: "",
    port: 0,
    exception: { origin: "", address: "127.0.0.1", ca: internal.ca },
    effects: [],
    connections: 0,
    answer: undefined,
    count: (job) => counts.get(job) ?? 0,
    async up() {
      const started = createServer(tls, (request, response) => {
        record(request, response).catch(() => response.destroy());
      });
      started.on("connection", (socket) => {
        self.connections++;
        sockets.add(socket);
        socket.on("close", () => sockets.delete(socket));
      });
      await new Promise<void>((resolve, reject) => {
        started.once("error", reject).listen(self.port, "127.0.0.1", resolve);
      });
      server = started;
      self.port = (started.address() as AddressInfo).port;
      self.origin = `https://${orgServerName(org)}:${self.port}`;
      self.exception.origin = self.origin;
    },
    async down() {
      const ending = server;
      server = undefined;
      for (const socket of sockets) socket.destroy();
      if (ending) await new Promise<void>((resolve) => ending.close(() => resolve()));
    },
    clear() {
      self.effects = [];
      self.connections = 0;
      counts.clear();
    },
  };
  await self.up();
  return self;
}
