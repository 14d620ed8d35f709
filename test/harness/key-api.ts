import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { selfSignedCertificate } from "../../services/cli/platform/self-signed-certificate.ts";
import type { BrokerPolicy } from "../../services/shared/broker/policy.ts";
import type { PrivateDestination } from "../../services/worker/outbound/private-destinations.ts";

/**
 * A provider whose privileged keys make and revoke one another: `POST /v1/keys`, `DELETE /v1/keys/:id`, and `GET /v1/me`
 * to try one. An `Idempotency-Key` makes one key.
 */
export interface KeyApi {
  origin: string;
  port: number;
  exception: PrivateDestination;
  /** A policy for its keys, with a recipe. `currentId` is the id of the key that is put. */
  policy(currentId?: string): BrokerPolicy;
  /** Makes a key past the API. */
  issue(): { id: string; value: string };
  isAlive(value: string): boolean;
  /** The keys that work. */
  alive(): { id: string; value: string }[];
  /** Method and path of all requests, with the id of the key that asked. */
  requests: { line: string; by: string | undefined; status: number }[];
  /** Answers in its place if it says so; called after a request took effect if `when` is `after`. */
  fault: ((line: string, when: "before" | "after", response: ServerResponse) => boolean) | undefined;
  /** Forgets all keys, requests and faults. */
  reset(): void;
  close(): Promise<void>;
}

interface Key {
  id: string;
  value: string;
}

export async function startKeyApi(name = "keys.example.com"): Promise<KeyApi> {
  const { certificate, key } = selfSignedCertificate(name, 1);
  const keys = new Map<string, Key>();
  const made = new Map<string, Key>();
  const sockets = new Set<Duplex>();

  const issue = (): Key => {
    const made = {
      id: `key_${randomBytes(6).toString("hex")}`,
      value: `sk-${randomBytes(24).toString("hex")}`,
    };
    keys.set(made.id, made);
    return made;
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    await request.toArray();
    const line = `${request.method} ${request.url}`;
    const value = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1];
    const by = [...keys.values()].find((each) => each.value === value);
    const record = { line, by: by?.id, status: 0 };
    self.requests.push(record);
    if (self.fault?.(line, "before", response)) return;
    const end = (status: number, body?: object) => {
      record.status = status;
      if (self.fault?.(line, "after", response)) return;
      response.writeHead(status, { "content-type": "application/json" });
      response.end(body === undefined ? undefined : JSON.stringify(body));
    };
    const revoked = /^DELETE \/v1\/keys\/([^/]+)$/.exec(line)?.[1];
    if (!by) return end(401, { error: "no such key" });
    if (line === "GET /v1/me") return end(200, { me: by.id });
    if (line === "POST /v1/keys") {
      const once = request.headers["idempotency-key"];
      const one = (typeof once === "string" && made.get(once)) || issue();
      if (typeof once === "string") made.set(once, one);
      return end(201, { key: { secret: one.value, id: one.id } });
    }
    if (revoked === undefined) return end(404, {});
    return end(keys.delete(decodeURIComponent(revoked)) ? 204 : 404);
  };
  const server = createServer({ cert: certificate, key: key.reveal() }, (request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const origin = `https://${name}:${port}`;
  const self: KeyApi = {
    ...{ origin, port, issue, requests: [], fault: undefined },
    exception: { origin, address: "127.0.0.1", ca: certificate },
    isAlive: (value) => [...keys.values()].some((each) => each.value === value),
    alive: () => [...keys.values()],
    policy: (currentId) => ({
      origin,
      inject: { header: "Authorization", format: "Bearer {}" },
      rules: [{ id: "me", methods: ["GET"], paths: ["/v1/me"], who: { level: "reader" } }],
      rotation: {
        type: "rest",
        create: { method: "POST", path: "/v1/keys", body: '{"name":"strongroom"}' },
        ...{ key: "/key/secret", id: "/key/id" },
        check: { method: "GET", path: "/v1/me" },
        revoke: { method: "DELETE", path: "/v1/keys/{id}" },
        ...(currentId !== undefined && { currentId }),
      },
    }),
    reset() {
      keys.clear();
      made.clear();
      self.requests = [];
      self.fault = undefined;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return self;
}
