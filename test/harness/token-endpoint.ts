import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { selfSignedCertificate } from "../../services/cli/platform/self-signed-certificate.ts";
import type { PrivateDestination } from "../../services/worker/outbound/private-destinations.ts";

/** A request to a token endpoint, and its form. */
export interface TokenRequest {
  method: string;
  path: string;
  headers: IncomingMessage["headers"];
  body: string;
  form: URLSearchParams;
}

/** A server on loopback over TLS, whose name resolves nowhere, as a provider's. */
export interface TokenEndpoint {
  /** `https://NAME:PORT`. */
  origin: string;
  port: number;
  /** What lets a worker connect to it. */
  exception: PrivateDestination;
  close(): Promise<void>;
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export async function startTlsServer(name: string, handler: () => Handler): Promise<TokenEndpoint> {
  const { certificate, key } = selfSignedCertificate(name, 1);
  const server = createServer({ cert: certificate, key: key.reveal() }, (request, response) =>
    handler()(request, response),
  );
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  const origin = `https://${name}:${port}`;
  return {
    ...{ origin, port, exception: { origin, address: "127.0.0.1", ca: certificate } },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A token endpoint that answers as the test says, and records what it was asked. */
export interface ScriptedEndpoint extends TokenEndpoint {
  requests: TokenRequest[];
  /** How it answers. */
  answer: (request: TokenRequest, response: ServerResponse) => void | Promise<void>;
}

export async function startScriptedEndpoint(name = "provider.example.test"): Promise<ScriptedEndpoint> {
  const requests: TokenRequest[] = [];
  const server = await startTlsServer(name, () => (request, response) => {
    void request.toArray().then(async (chunks: Buffer[]) => {
      const body = Buffer.concat(chunks).toString();
      const { method = "", url: path = "", headers } = request;
      const asked = { method, path, headers, body, form: new URLSearchParams(body) };
      requests.push(asked);
      try {
        await self.answer(asked, response);
      } catch {
        response.destroy();
      }
    });
  });
  const self: ScriptedEndpoint = {
    ...server,
    requests,
    answer: (_, response) => void response.writeHead(500).end(),
  };
  return self;
}

/** Answers with JSON. */
export function answerJson(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
}
