import type { FastifyReply, FastifyRequest } from "fastify";
import type { Logger } from "pino";
import { StrongroomError } from "../shared/errors.ts";
import type { Server } from "../shared/http/server.ts";
import type { Identity } from "../shared/identity/identity.ts";
import { TokenRefused } from "../shared/identity/refused.ts";
import type { Target } from "./authorize-path.ts";
import type { Upstream } from "./upstreams.ts";

/** What is known of a request so far, for its one line in the log. */
export interface Trace {
  began: number;
  route: string | undefined;
  org: string | undefined;
  /** A digest: the log names nobody. */
  subject: string | undefined;
  /** When the work with the organization's Vault began, and when the head of its answer came. */
  sentAt: number | undefined;
  answeredAt: number | undefined;
  error: unknown;
}

/** What a request was granted before its body was read. */
export interface Pass extends Target {
  identity: Identity;
  upstream: Upstream;
}

declare module "fastify" {
  interface FastifyRequest {
    trace: Trace;
    pass: Pass;
  }
}

/** The status logged for a caller that went away before its answer began, as others log it too. */
const CALLER_GONE = 499;

/**
 * Logs one line a request, when it has ended in whatever way: nothing of its path but the route, of its
 * caller but a digest, of its token nothing.
 */
export function registerRequestLog(app: Server, logger: Logger): void {
  app.decorateRequest("trace");
  app.decorateRequest("pass");
  app.addHook("onRequest", (request, reply, done) => {
    request.trace = {
      began: performance.now(),
      route: undefined,
      org: undefined,
      subject: undefined,
      sentAt: undefined,
      answeredAt: undefined,
      error: undefined,
    };
    // Fastify's onResponse does not come where a connection breaks.
    reply.raw.once("close", () => logRequest(logger, request, reply));
    done();
  });
}

function logRequest(logger: Logger, request: FastifyRequest, { raw }: FastifyReply): void {
  const { began, route, org, subject, sentAt, answeredAt, error } = request.trace;
  const line = {
    requestId: request.id,
    org,
    subject,
    method: request.method,
    route,
    status: raw.headersSent ? raw.statusCode : CALLER_GONE,
    ...(error !== undefined ? describe(error) : !raw.writableFinished && { reason: "caller_gone" }),
    ms: round(performance.now() - began),
    upstreamMs: sentAt && answeredAt ? round(answeredAt - sentAt) : undefined,
  };
  if (line.status === 500) logger.error({ ...line, err: error }, "request");
  else logger.info(line, "request");
}

/** `reason` is of a closed set; `cause` says what went wrong on the way to a Vault. */
function describe(error: unknown): { reason: string; cause?: string } {
  const { code, cause } = error as { code?: string; cause?: unknown };
  if (error instanceof TokenRefused) return { reason: error.reason };
  if (!(error instanceof StrongroomError)) return { reason: code ?? "unexpected" };
  if (cause === undefined) return { reason: error.code };
  const { code: causeCode, message } = cause as { code?: string; message?: string };
  return { reason: error.code, cause: causeCode ?? message ?? String(cause) };
}

const round = (ms: number): number => Math.round(ms * 100) / 100;
