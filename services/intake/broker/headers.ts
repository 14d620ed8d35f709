import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { type Injection, injectedHeaders } from "../../shared/broker/inject.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { isPassedHeader } from "../../shared/work/request-headers.ts";

/** What the broker takes too. */
const MOST_HEADERS = 64;
const MOST_BYTES = 16_384;
const MOST_VALUE = 8_192;
const NAME = /^[A-Za-z][A-Za-z0-9-]{0,63}$/;
const VALUE = /^[\x20-\x7e\t]*$/;
/** An answer's names are not checked by anyone else. */
const ANSWER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}$/;

/**
 * The caller's headers that go to the destination, in order: not those of the connection or of the caller's own token,
 * nor those that only the broker sets. Throws `invalid_request` for what would be read in more than one way, or is too
 * long.
 */
export function passedHeaders({ rawHeaders }: IncomingMessage): [string, string][] {
  const passed: [string, string][] = [];
  const ofConnection = new Set<string>();
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() !== "connection") continue;
    for (const name of (rawHeaders[i + 1] ?? "").split(",")) ofConnection.add(name.trim().toLowerCase());
  }
  let [types, bytes] = [0, 0];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const [name = "", value = ""] = [rawHeaders[i], rawHeaders[i + 1]];
    const lower = name.toLowerCase();
    if (!isPassedHeader(lower) || ofConnection.has(lower)) continue;
    if (lower === "content-type" && ++types > 1) throw invalid("Content-Type is repeated.");
    if (!NAME.test(name) || !VALUE.test(value) || value.length > MOST_VALUE) {
      throw invalid("A header has a name or a value that is not passed on.");
    }
    bytes += name.length + value.length + 4;
    passed.push([name, value]);
  }
  if (passed.length > MOST_HEADERS || bytes > MOST_BYTES) throw invalid("There are too many headers.");
  return passed;
}

/** Without the headers that carry the credential: a client that must name some key sends one that is replaced. */
export function withoutInjected(headers: [string, string][], inject: Injection): [string, string][] {
  const injected = injectedHeaders(inject);
  return headers.filter(([name]) => !injected.includes(name.toLowerCase()));
}

/**
 * The length of a request's body: a number, `chunked` if it is not announced, undefined if there is none. Throws
 * `invalid_request` for a body where there is none, and for a request that asks for another protocol.
 */
export function bodyLength(method: string, headers: IncomingHttpHeaders): number | "chunked" | undefined {
  if (headers.upgrade !== undefined) throw invalid("Upgrades to another protocol are not passed on.");
  const isChunked = headers["transfer-encoding"] !== undefined;
  const length = Number(headers["content-length"] ?? 0);
  if (!isChunked && length === 0) return undefined;
  if (method === "GET" || method === "HEAD") throw invalid(`A request with ${method} has no body.`);
  if (headers["content-encoding"] !== undefined && headers["content-encoding"] !== "identity") {
    throw invalid("Send the body without Content-Encoding.");
  }
  return isChunked ? "chunked" : length;
}

/** Headers of an answer that are the intake's own, or the connection's, whatever the broker says. */
const OWN = new Set([
  ...["connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade"],
  ...["proxy-connection", "proxy-authenticate", "set-cookie", "set-cookie2", "x-request-id", "cache-control"],
  ...["strict-transport-security", "x-content-type-options", "date", "expires", "pragma"],
]);

/** As much as an honest broker passes on. */
const MOST_ANSWER_BYTES = 32 * 1024;

/** The headers of a destination's answer as the caller gets them. Throws an error if they are too large. */
export function answerHeaders(headers: readonly (readonly [string, string])[]): [string, string][] {
  const size = headers.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  if (size > MOST_ANSWER_BYTES) throw new Error("the broker sent headers that are too large");
  return headers.flatMap(([name, value]): [string, string][] => {
    const lower = name.toLowerCase();
    if (OWN.has(lower) || lower.startsWith("strongroom-") || !ANSWER_NAME.test(name)) return [];
    return /^[\t\x20-\x7e\x80-\xff]*$/.test(value) ? [[name, value]] : [];
  });
}

const invalid = (detail: string) => new StrongroomError("invalid_request", detail);
