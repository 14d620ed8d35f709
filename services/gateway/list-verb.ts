import type { Socket } from "node:net";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { LightMyRequestResponse } from "fastify";
import { canonicalPath, encodePath } from "./canonical-path.ts";

/** A request with the verb LIST, as the GET that means the same. */
export interface ListRequest {
  url: string;
  headers: Record<string, string | string[]>;
}

/** Answers a request through the application itself, so that every check runs. */
export type Inject = (
  request: { method: "GET"; remoteAddress: string; payloadAsStream: true } & ListRequest,
) => Promise<LightMyRequestResponse>;

const MAX_HEAD_BYTES = 16 * 1024;
const MAX_HEADERS = 64;
const REQUEST_LINE = /^LIST (\/[\x21-\x7e]*) HTTP\/1\.1$/;
const HEADER_LINE = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?[ \t]*$/;

/**
 * Node's parser refuses the verb LIST, which hvac and others send, so the bytes it refused are read here:
 * exactly one head of strict grammar, with no body. Undefined for anything else.
 */
export function parseList(packet: Buffer): ListRequest | undefined {
  if (packet.length > MAX_HEAD_BYTES) return undefined;
  const text = packet.toString("latin1");
  if (text.indexOf("\r\n\r\n") !== text.length - 4) return undefined;
  const [requestLine = "", ...lines] = text.slice(0, -4).split("\r\n");
  const target = REQUEST_LINE.exec(requestLine)?.[1];
  if (target === undefined || lines.length > MAX_HEADERS) return undefined;

  const headers: Record<string, string | string[]> = {};
  for (const line of lines) {
    const [, name = "", value = ""] = HEADER_LINE.exec(line) ?? [];
    if (name === "") return undefined;
    const lower = name.toLowerCase();
    const before = headers[lower];
    headers[lower] = before === undefined ? value : [before, value].flat();
  }
  if (typeof headers.host !== "string" || headers["transfer-encoding"] !== undefined) return undefined;
  if ((headers["content-length"] ?? "0") !== "0") return undefined;
  const url = listUrl(target);
  return url === undefined ? undefined : { url, headers };
}

/** The target as a GET; only a canonical one, since the way through the application would make it one. */
function listUrl(target: string): string | undefined {
  try {
    const { segments, folder, query = "list=true" } = canonicalPath(target);
    return query === "list=true" ? `${encodePath(segments)}${folder ? "/" : ""}?${query}` : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Writes an injected answer to the connection that asked, as it comes and no faster than it is taken, and
 * closes it: its parser has given up. One that breaks off ends without what would make it look whole.
 */
export async function answerList(socket: Socket, request: ListRequest, inject: Inject): Promise<void> {
  const { remoteAddress = "" } = socket;
  const answer = await inject({ method: "GET", remoteAddress, payloadAsStream: true, ...request });
  const { statusCode, statusMessage, headers, raw } = answer;
  const head = [`HTTP/1.1 ${statusCode} ${statusMessage}`];
  for (const [name, value] of Object.entries(headers)) {
    if (name !== "connection" && name !== "transfer-encoding") head.push(`${name}: ${value}`);
  }
  const inOne = headers["content-length"] !== undefined;
  head.push(...(inOne ? [] : ["transfer-encoding: chunked"]), "connection: close", "", "");
  socket.write(head.join("\r\n"), "latin1");
  try {
    await pipeline(inOne ? answer.stream() : inChunks(answer.stream()), socket);
  } catch {
    // Told in the request's line of the log. What the caller has got is not whole.
    socket.destroy();
  } finally {
    raw.res.destroy();
  }
}

async function* inChunks(body: Readable): AsyncGenerator<Buffer> {
  for await (const chunk of body as AsyncIterable<Buffer>) {
    yield Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from("\r\n")]);
  }
  yield Buffer.from("0\r\n\r\n");
}
