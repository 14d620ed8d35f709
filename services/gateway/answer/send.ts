import type { ServerResponse } from "node:http";
import type { FastifyReply } from "fastify";
import { StrongroomError } from "../../shared/errors.ts";
import { type Refusal, TokenRefused } from "../../shared/front/identity/refused.ts";
import { TooManyRequests } from "../../shared/front/limits.ts";
import type { Trace } from "../../shared/front/request-log.ts";
import { MethodNotAllowed } from "../route/authorize-path.ts";

/** Without a charset: hvac reads errors only from exactly this content type. */
const JSON_TYPE = "application/json";

/** The headers of every answer with a body. */
export const HEADERS = {
  "content-type": JSON_TYPE,
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
};

/** Answers with JSON that the gateway itself makes. */
export function sendJson(reply: FastifyReply, status: number, body: object): FastifyReply {
  // Bytes, since Fastify adds a charset to a string.
  return reply
    .code(status)
    .headers(HEADERS)
    .send(Buffer.from(JSON.stringify(body)));
}

/** Answers 204: done, without a body. */
export const sendDone = (reply: FastifyReply): FastifyReply =>
  reply.code(204).headers({ "cache-control": "no-store" }).send();

/** Fastify's own errors that are the caller's fault: status and message. */
const CALLERS_ERRORS: Record<string, readonly [number, string]> = {
  FST_ERR_CTP_BODY_TOO_LARGE: [413, "The body is larger than 1 MiB."],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [400, "The body's length does not match Content-Length."],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [415, "The body's content type is not supported."],
};

/** Answers with an error in Vault's form. Anything unexpected is a 500 without details. */
export function sendError(reply: FastifyReply, error: unknown): FastifyReply {
  const [status, message] = publicError(error);
  return sendJson(reply.headers(errorHeaders(status, error)), status, { errors: [message] });
}

/** {@link sendError} for a response that Fastify does not handle. */
export function endWithError(response: ServerResponse, { requestId }: Trace, error: unknown): void {
  const [status, message] = publicError(error);
  const body = JSON.stringify({ errors: [message] });
  response.writeHead(status, {
    ...errorHeaders(status, error),
    ...HEADERS,
    "x-request-id": requestId,
    "content-length": Buffer.byteLength(body),
  });
  response.end(body);
}

function errorHeaders(status: number, error: unknown): Record<string, string | number> {
  if (error instanceof TooManyRequests) return { "retry-after": error.retryAfterSeconds };
  if (error instanceof MethodNotAllowed) return { allow: error.allow };
  if (error instanceof TokenRefused) return { "www-authenticate": 'Bearer realm="strongroom"' };
  return status === 503 ? { "retry-after": "1" } : {};
}

/** The request has no token. Browsers and API gateways ask for one at 401 only. */
const NO_TOKEN: ReadonlySet<Refusal> = new Set<Refusal>(["token_missing", "authorization_scheme"]);
/** Vault's own words: its agent and other clients log in again when they see them. */
const INVALID_TOKEN = "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n";

function publicError(error: unknown): readonly [number, string] {
  if (error instanceof TokenRefused && !NO_TOKEN.has(error.reason)) return [403, INVALID_TOKEN];
  if (error instanceof StrongroomError) return [error.status, error.message];
  const { code = "" } = error as { code?: string };
  return (
    CALLERS_ERRORS[code] ?? [
      500,
      "Internal error. The gateway's log has the details under this X-Request-Id.",
    ]
  );
}
