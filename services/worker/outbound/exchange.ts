import { type IncomingMessage, request as sendRequest } from "node:http";
import type { TLSSocket } from "node:tls";
import { type Origin, parseOrigin } from "../../shared/work/destination.ts";
import { JobFailure } from "../job-failure.ts";
import { createConnector, type Network } from "./connect.ts";

export interface Sent {
  /** The pinned origin, in canonical form. */
  origin: string;
  method: string;
  /** Path and query. */
  path: string;
  /** In this order; `Host`, `Connection` and `Content-Length` are added here and nowhere else. */
  headers: [name: string, value: string][];
  body: Uint8Array | undefined;
  /** Bytes of an answer's body that are accepted. */
  maxBody: number;
  /** Keep the first `maxBody` bytes of a larger answer, and drop the rest, instead of failing. */
  truncate?: boolean;
}

export interface Answer {
  status: number;
  headers: [name: string, value: string][];
  body: Buffer;
}

/** What {@link createExchange} asks of the world. */
export interface Outside extends Network {
  /** Milliseconds for a whole exchange; 30 seconds unless given. */
  totalMs?: number;
}

/** Sends one request on a connection of its own and reads the answer. Throws JobFailure, or the signal's reason. */
export type Exchange = (sent: Sent, signal: AbortSignal) => Promise<Answer>;

const TOTAL_MS = 30_000;
/** Of an answer's head. */
export const MAX_HEADER_BYTES = 16_384;

/**
 * The way out of a worker for one request: https to the pinned origin, at public addresses, without redirects, proxies and
 * connections that are kept.
 */
export function createExchange({ totalMs = TOTAL_MS, ...network }: Outside = {}): Exchange {
  const connect = createConnector(network);
  return async (sent, signal) => {
    const origin = parseOrigin(sent.origin);
    if (!origin) throw new JobFailure("destination_refused", "the destination is not an https origin");
    const within = AbortSignal.any([signal, AbortSignal.timeout(totalMs)]);
    try {
      const socket = await connect(sent.origin, within);
      try {
        return await exchangeOn(socket, origin, sent, within);
      } finally {
        socket.destroy();
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof JobFailure) throw error;
      if (within.aborted) throw new JobFailure("timeout", "the destination did not answer in time");
      throw new JobFailure("unreachable", "the connection to the destination broke");
    }
  };
}

function exchangeOn(
  socket: TLSSocket,
  { host, port }: Origin,
  sent: Sent,
  signal: AbortSignal,
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const request = sendRequest({
    createConnection: () => socket,
    method: sent.method,
    path: sent.path,
    maxHeaderSize: MAX_HEADER_BYTES,
    insecureHTTPParser: false,
    setHost: false,
    signal,
    headers: [
      ["Host", hostHeader({ host, port })],
      ["Connection", "close"],
      ...sent.headers,
      ...(hasLength(sent) ? [["Content-Length", String(sent.body?.byteLength ?? 0)]] : []),
    ].flat(),
  });
  request.on("error", (error) => reject(asFailure(error)));
  request.on("upgrade", () =>
    reject(new JobFailure("answer_unusable", "the destination changed the protocol")),
  );
  request.on("response", (response) => readAnswer(response, sent).then(resolve, reject));
  request.end(sent.body);
  return promise;
}

/** The value of `Host` for an origin. */
export const hostHeader = ({ host, port }: Origin): string => (port === 443 ? host : `${host}:${port}`);

/** Without a length, Node would send an empty body of these methods in chunks. */
const hasLength = ({ method, body }: Sent): boolean =>
  body !== undefined || ["POST", "PUT", "PATCH"].includes(method);

async function readAnswer(response: IncomingMessage, { maxBody, truncate }: Sent): Promise<Answer> {
  checkFraming(response);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    chunks.push(chunk);
    if (size <= maxBody) continue;
    if (truncate) break;
    throw new JobFailure("answer_too_large", `the answer is larger than ${maxBody} bytes`);
  }
  const { rawHeaders, statusCode = 0 } = response;
  const headers = rawHeaders.flatMap((name, index): [string, string][] =>
    index % 2 === 0 ? [[name, rawHeaders[index + 1] ?? ""]] : [],
  );
  return { status: statusCode, headers, body: Buffer.concat(chunks).subarray(0, maxBody) };
}

/** Throws JobFailure for an answer that says that it is encoded: it cannot be searched for the credential. */
export function checkFraming({ headers }: IncomingMessage): void {
  const content = headers["content-encoding"] ?? "identity";
  const transfer = headers["transfer-encoding"] ?? "chunked";
  if (!/^\s*(identity)?\s*$/i.test(content) || !/^\s*chunked\s*$/i.test(transfer)) {
    throw new JobFailure("answer_not_scrubbable", "the destination encoded its answer though asked not to");
  }
}

/** What is wrong with an answer, if it is no HTTP; else the error itself. */
export function asFailure(error: NodeJS.ErrnoException): Error {
  if (error.code === "HPE_HEADER_OVERFLOW") {
    return new JobFailure(
      "answer_too_large",
      `the answer's headers are larger than ${MAX_HEADER_BYTES} bytes`,
    );
  }
  if (error.code?.startsWith("HPE_"))
    return new JobFailure("answer_unusable", "the answer is not valid HTTP");
  return error;
}
