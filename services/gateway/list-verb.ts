import { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** A request with the verb LIST, as the GET that means the same. */
export interface ListRequest {
  url: string;
  /** Names and values in turn, as they came. */
  rawHeaders: string[];
}

/** Serves a request as the server's own parser would have it served. */
export type Serve = (request: IncomingMessage, response: ServerResponse) => void;

/** What Node's parser says of bytes that it refuses; its types know no packet. */
export interface ParseError {
  code?: string;
  /** The bytes that came together, of which some may have been requests before. */
  rawPacket?: unknown;
  /** How many of them were taken. */
  bytesParsed?: number;
}

const MAX_HEAD_BYTES = 16 * 1024;
const MAX_HEADERS = 64;
const VERB = "LIST /";
const HEAD_END = "\r\n\r\n";
/** A line that ends in one character of two, and a NUL: no head has them, so none has to be waited for. */
const NEVER_A_HEAD = /[^\r]\n|\r[^\n]|\0/;
const REQUEST_LINE = /^LIST (\/[\x21-\x7e\x80-\xff]*) HTTP\/1\.1$/;
const HEADER_LINE = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?[ \t]*$/;

/** Whether a request came with the verb LIST. */
export const isList = (request: IncomingMessage): boolean => lists.has(request);
const lists = new WeakSet<IncomingMessage>();

/**
 * Node's parser refuses the verb LIST, which hvac and others send, and with it all that comes after on its
 * connection. What it refuses is gathered here until it is a head, however it was cut. The time for that is the
 * server's, as for any head.
 */
export class ListHeads {
  readonly #begun = new WeakMap<Socket, Buffer>();

  /** A LIST whose head is whole; "unfinished" where it may become one; undefined where it is none. */
  take(socket: Socket, { code, rawPacket, bytesParsed }: ParseError): ListRequest | "unfinished" | undefined {
    if (code !== "HPE_INVALID_METHOD" || !Buffer.isBuffer(rawPacket)) return undefined;
    const begun = this.#begun.get(socket);
    const head = begun ? Buffer.concat([begun, rawPacket]) : beginning(rawPacket, bytesParsed ?? 0);
    if (head.length > MAX_HEAD_BYTES) return undefined;
    const text = head.toString("latin1");
    if (text.includes(HEAD_END)) return parseList(head);
    if (!text.startsWith(VERB.slice(0, Math.max(text.length, 3))) || NEVER_A_HEAD.test(text))
      return undefined;
    this.#begun.set(socket, head);
    return "unfinished";
  }
}

/**
 * What came from the LIST on. The parser stops at the third letter, since LI may be LINK; the first two may have
 * come before these bytes, and it does not say which they were.
 */
function beginning(packet: Buffer, stoppedAt: number): Buffer {
  const start = stoppedAt - 2;
  return start >= 0 ? packet.subarray(start) : Buffer.concat([Buffer.from(VERB.slice(0, -start)), packet]);
}

/** Reads bytes as exactly one head of strict grammar, with no body. Undefined for anything else. */
export function parseList(head: Buffer): ListRequest | undefined {
  if (head.length > MAX_HEAD_BYTES) return undefined;
  const text = head.toString("latin1");
  if (text.indexOf(HEAD_END) !== text.length - HEAD_END.length) return undefined;
  const [requestLine = "", ...lines] = text.slice(0, -HEAD_END.length).split("\r\n");
  const target = REQUEST_LINE.exec(requestLine)?.[1];
  if (target === undefined || lines.length > MAX_HEADERS) return undefined;

  const rawHeaders: string[] = [];
  const values = new Map<string, string[]>();
  for (const line of lines) {
    const [, name, value = ""] = HEADER_LINE.exec(line) ?? [];
    if (name === undefined) return undefined;
    rawHeaders.push(name, value);
    values.set(name.toLowerCase(), [...(values.get(name.toLowerCase()) ?? []), value]);
  }
  if (values.get("host")?.length !== 1 || values.has("transfer-encoding")) return undefined;
  const lengths = values.get("content-length") ?? ["0"];
  return lengths.join() === "0" ? { url: listUrl(target), rawHeaders } : undefined;
}

/** The target with `list=true`, as it is otherwise: what is wrong with it is found where that of a GET is. */
function listUrl(target: string): string {
  if (/\?list=true$/.test(target)) return target;
  return `${target}${target.includes("?") ? "&" : "?"}list=true`;
}

/**
 * Calls `then` once the requests that came whole before on a connection have their answers, or it has ended. One
 * that did not come whole never will: what came last was to be the rest of it.
 */
export function afterEarlierAnswers(socket: Socket, then: () => void): void {
  const { _httpMessage: earlier } = socket as Socket & { _httpMessage?: ServerResponse | null };
  if (!earlier?.req.complete) then();
  else earlier.once("close", () => afterEarlierAnswers(socket, then));
}

/** Has a LIST served on the connection that it came by, and closes that: its parser has given up. */
export function answerList(socket: Socket, { url, rawHeaders }: ListRequest, serve: Serve): void {
  const request = new IncomingMessage(socket);
  lists.add(request);
  Object.assign(request, { method: "GET", url, rawHeaders, headers: headersOf(rawHeaders), complete: true });
  Object.assign(request, { httpVersion: "1.1", httpVersionMajor: 1, httpVersionMinor: 1 });
  request.push(null);
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket);
  response.once("finish", () => socket.destroySoon());
  serve(request, response);
}

/** Headers by name; those that come twice together, for those who check them. */
function headersOf(raw: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let i = 0; i < raw.length; i += 2) {
    const [name, value] = [(raw[i] ?? "").toLowerCase(), raw[i + 1] ?? ""];
    headers[name] = Object.hasOwn(headers, name) ? `${headers[name]}, ${value}` : value;
  }
  return headers;
}
