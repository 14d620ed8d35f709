import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import { selfSignedCertificate } from "../../services/cli/platform/self-signed-certificate.ts";
import type { PrivateDestination } from "../../services/worker/outbound/private-destinations.ts";

/** A request that the provider got. */
export interface Asked {
  path: string;
  authorization: string | undefined;
  form: URLSearchParams;
}

type Answer = (asked: Asked, response: ServerResponse) => void;

/** A provider that does what it is told to. Untouched, it is an honest one. */
export interface HostileProvider {
  issuer: string;
  exception: PrivateDestination;
  asked: Asked[];
  /** How it answers by path, instead of honestly. */
  answers: Record<string, Answer>;
  metadata: Record<string, unknown>;
  /** The honest token answer. `nonce` is what the ID token says. */
  tokens(clientId: string, nonce: string | undefined, claims?: object): Promise<Record<string, unknown>>;
  jwk: JWK;
  reset(): void;
  close(): Promise<void>;
}

export const SCOPES = ["openid", "offline_access", "files.read"];

export async function startHostileProvider(name: string, address = "127.0.0.1"): Promise<HostileProvider> {
  const { certificate, key } = selfSignedCertificate(name, 2);
  const sockets = new Set<Socket>();
  const pair = await generateKeyPair("ES256");
  const jwk = { ...(await exportJWK(pair.publicKey)), kid: "one", alg: "ES256", use: "sig" };
  const server = createServer({ cert: certificate, key: key.reveal() });
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("request", async (request: IncomingMessage, response: ServerResponse) => {
    const body = Buffer.concat(await request.toArray()).toString("utf8");
    const path = request.url ?? "";
    const asked = { path, authorization: request.headers.authorization, form: new URLSearchParams(body) };
    self.asked.push(asked);
    const answer = self.answers[path];
    if (answer) return answer(asked, response);
    if (path === "/.well-known/openid-configuration") return json(response, 200, self.metadata);
    if (path === "/jwks") return json(response, 200, { keys: [self.jwk] });
    if (path === "/revoke") return response.writeHead(200).end();
    return json(response, 404, {});
  });
  server.listen(0, address);
  await once(server, "listening");
  const issuer = `https://${name}:${(server.address() as AddressInfo).port}`;
  const self: HostileProvider = {
    ...{ issuer, asked: [], answers: {}, metadata: {}, jwk },
    exception: { origin: issuer, address, ca: certificate },
    async tokens(clientId, nonce, claims = {}) {
      const now = Math.floor(Date.now() / 1000);
      const idToken = await new SignJWT({
        ...{
          iss: issuer,
          aud: clientId,
          sub: "ada",
          iat: now,
          exp: now + 300,
          ...(nonce !== undefined && { nonce }),
        },
        ...claims,
      })
        .setProtectedHeader({ alg: "ES256", kid: "one" })
        .sign(pair.privateKey);
      return {
        ...{ access_token: "access-canary-0123456789", token_type: "Bearer", expires_in: 300 },
        ...{ refresh_token: "refresh-canary-0123456789", scope: SCOPES.join(" "), id_token: idToken },
      };
    },
    reset() {
      self.asked = [];
      self.answers = {};
      self.jwk = jwk;
      self.metadata = {
        ...{ issuer, authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token` },
        ...{ jwks_uri: `${issuer}/jwks`, revocation_endpoint: `${issuer}/revoke` },
        ...{
          authorization_response_iss_parameter_supported: true,
          code_challenge_methods_supported: ["S256"],
        },
        ...{ response_types_supported: ["code"], subject_types_supported: ["public"] },
        id_token_signing_alg_values_supported: ["ES256"],
      };
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  self.reset();
  return self;
}

export function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
}
