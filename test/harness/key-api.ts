import { randomBytes } from "node:crypto";
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { selfSignedCertificate } from "../../services/cli/platform/self-signed-certificate.ts";
import type { BrokerPolicy } from "../../services/shared/broker/policy.ts";
import type { PrivateDestination } from "../../services/worker/outbound/private-destinations.ts";

interface Key {
  id: string;
  value: string;
}

/** The keys of a provider whose privileged keys make and revoke one another. */
export interface ProviderKeys {
  /** Makes a key past the API. */
  issue(): Key;
  isAlive(value: string): boolean;
  /** The keys that work. */
  alive(): Key[];
  /** Which key asks, if it is one. */
  asking(headers: IncomingHttpHeaders): Key | undefined;
  /**
   * Answers `POST /v1/keys`, `DELETE /v1/keys/:id`, and `GET /v1/me` to try one. An `Idempotency-Key` makes one key.
   */
  respond(line: string, headers: IncomingHttpHeaders): { status: number; body?: object };
  reset(): void;
}

export function providerKeys(): ProviderKeys {
  const keys = new Map<string, Key>();
  const made = new Map<string, Key>();
  const issue = (): Key => {
    const made = {
      id: `key_${randomBytes(6).toString("hex")}`,
      value: `sk-${randomBytes(24).toString("hex")}`,
    };
    keys.set(made.id, made);
    return made;
  };
  const asking: ProviderKeys["asking"] = ({ authorization = "" }) => {
    const value = /^Bearer (.+)$/.exec(authorization)?.[1];
    return [...keys.values()].find((each) => each.value === value);
  };
  return {
    ...{ issue, asking },
    isAlive: (value) => [...keys.values()].some((each) => each.value === value),
    alive: () => [...keys.values()],
    respond(line, headers) {
      const by = asking(headers);
      if (!by) return { status: 401, body: { error: "no such key" } };
      if (line === "GET /v1/me") return { status: 200, body: { me: by.id } };
      if (line === "POST /v1/keys") {
        const once = headers["idempotency-key"];
        const one = (typeof once === "string" && made.get(once)) || issue();
        if (typeof once === "string") made.set(once, one);
        return { status: 201, body: { key: { secret: one.value, id: one.id } } };
      }
      const revoked = /^DELETE \/v1\/keys\/([^/]+)$/.exec(line)?.[1];
      if (revoked === undefined) return { status: 404, body: {} };
      return { status: keys.delete(decodeURIComponent(revoked)) ? 204 : 404 };
    },
    reset() {
      keys.clear();
      made.clear();
    },
  };
}

/** A policy for such keys at an origin, with a recipe. `currentId` is the id of the key that is put. */
export const keyPolicy = (origin: string, currentId?: string): BrokerPolicy => ({
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
});

/** Such a provider on loopback, over TLS. */
export interface KeyApi extends Omit<ProviderKeys, "asking" | "respond"> {
  origin: string;
  port: number;
  exception: PrivateDestination;
  policy(currentId?: string): BrokerPolicy;
  /** Method and path of all requests, with the id of the key that asked. */
  requests: { line: string; by: string | undefined; status: number }[];
  /** Answers in its place if it says so; called after a request took effect if `when` is `after`. */
  fault: ((line: string, when: "before" | "after", response: ServerResponse) => boolean) | undefined;
  close(): Promise<void>;
}

export async function startKeyApi(name = "keys.example.com"): Promise<KeyApi> {
  const { certificate, key } = selfSignedCertificate(name, 1);
  const { asking, respond, ...keys } = providerKeys();
  const sockets = new Set<Duplex>();

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    await request.toArray();
    const line = `${request.method} ${request.url}`;
    const record = { line, by: asking(request.headers)?.id, status: 0 };
    self.requests.push(record);
    if (self.fault?.(line, "before", response)) return;
    const { status, body } = respond(line, request.headers);
    record.status = status;
    if (self.fault?.(line, "after", response)) return;
    response.writeHead(status, { "content-type": "application/json" });
    response.end(body === undefined ? undefined : JSON.stringify(body));
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
    ...{ ...keys, origin, port, requests: [], fault: undefined },
    exception: { origin, address: "127.0.0.1", ca: certificate },
    policy: (currentId) => keyPolicy(origin, currentId),
    reset() {
      keys.reset();
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
