import type { AddressInfo } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import { selfSignedCertificate } from "../../services/cli/platform/self-signed-certificate.ts";
import type { PrivateDestination } from "../../services/worker/outbound/private-destinations.ts";

/** A certificate of a name, signed by its own key. PEM. */
export interface Certificate {
  cert: string;
  key: string;
}

export function certificateOf(name: string): Certificate {
  const { certificate, key } = selfSignedCertificate(name, 2);
  return { cert: certificate, key: key.reveal() };
}

/** A TLS server that treats each connection as it is told, by bytes. */
export interface RawDestination {
  /** `https://provider.example:PORT`; the name resolves nowhere. */
  origin: string;
  /** What lets a worker connect to it. */
  exception: PrivateDestination;
  /** Requests' heads, with what came together with them. */
  seen: string[];
  sockets: Set<TLSSocket>;
  close(): void;
}

export async function startRawDestination(
  { cert, key }: Certificate,
  react: (socket: TLSSocket, request: string) => void,
  options: object = {},
): Promise<RawDestination> {
  const sockets = new Set<TLSSocket>();
  const seen: string[] = [];
  const server = createServer({ cert, key, ...options }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (!text.includes("\r\n\r\n")) return;
      seen.push(text);
      react(socket, text);
      text = "";
    });
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `https://provider.example:${(server.address() as AddressInfo).port}`;
  return {
    ...{ origin, seen, sockets, exception: { origin, address: "127.0.0.1", ca: cert } },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** A whole answer. */
export const ok = (body = "ok", head = "") =>
  `HTTP/1.1 200 OK\r\n${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

const chunked = (body: string) => `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}`;

/** Answers that no worker passes on, and why. */
export const BROKEN_ANSWERS: [name: string, bytes: string, failure: string][] = [
  ["no HTTP", "hello\r\n\r\n", "answer_unusable"],
  ["a status that is none", "HTTP/1.1 abc OK\r\n\r\n", "answer_unusable"],
  ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "answer_unusable"],
  [
    "length and chunks",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "answer_unusable",
  ],
  ["a bad chunk", chunked("zz\r\n"), "answer_unusable"],
  [
    "another protocol",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    "answer_unusable",
  ],
  ["headers without end", `HTTP/1.1 200 OK\r\n${"X: y\r\n".repeat(10_000)}`, "answer_too_large"],
  ["one long header", `HTTP/1.1 200 OK\r\nX: ${"y".repeat(20_000)}\r\n\r\n`, "answer_too_large"],
  ["gzip", ok("x", "Content-Encoding: gzip\r\n"), "answer_not_scrubbable"],
  [
    "gzip, told twice",
    ok("x", "Content-Encoding: identity\r\nContent-Encoding: br\r\n"),
    "answer_not_scrubbable",
  ],
  [
    "gzip as transfer coding",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "answer_not_scrubbable",
  ],
  ["half a body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "unreachable"],
  ["nothing", "", "unreachable"],
  ["half a head", "HTTP/1.1 200 O", "unreachable"],
];
