import type { Socket } from "node:net";
import type { LightMyRequestResponse } from "fastify";
import { canonicalPath, encodePath } from "./canonical-path.ts";

/** A request with the verb LIST, as the GET that means the same. */
export interface ListRequest {
  url: string;
  headers: Record<string, string | string[]>;
}

/** Answers a request through the application itself, so that every check runs. */
export type Inject = (
  request: { method: "GET"; remoteAddress: string } & ListRequest,
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

/** Writes an injected answer to the connection that asked, and closes it: its parser has given up. */
export async function answerList(socket: Socket, request: ListRequest, inject: Inject): Promise<void> {
  const { remoteAddress = "" } = socket;
  const answer = await inject({ method: "GET", remoteAddress, ...request });
  const { statusCode, statusMessage, headers, rawPayload } = answer;
  const head = [`HTTP/1.1 ${statusCode} ${statusMessage}`];
  for (const [name, value] of Object.entries({ ...headers, "content-length": rawPayload.length })) {
    if (name !== "connection" && name !== "transfer-encoding") head.push(`${name}: ${value}`);
  }
  head.push("connection: close", "", "");
  socket.end(Buffer.concat([Buffer.from(head.join("\r\n"), "latin1"), rawPayload]));
}
