import type { ServerResponse } from "node:http";
import type { Logger } from "pino";
import { StrongroomError } from "../../shared/errors.ts";
import { TokenRefused } from "../../shared/front/identity/refused.ts";
import type { CallerTrace } from "../../shared/front/passage.ts";
import { forFlatLines } from "../../shared/log.ts";

/** What is known of a request so far, for its one line in the log. */
export interface Trace extends CallerTrace {
  readonly requestId: string;
  readonly method: string;
  route: string | undefined;
  /** When the work with the organization's Vault began, and when the head of its answer came. */
  sentAt: number | undefined;
  answeredAt: number | undefined;
  error: unknown;
}

/** The trace of a request that has just come. */
export const newTrace = (requestId: string, method: string): Trace => ({
  requestId,
  method,
  began: performance.now(),
  route: undefined,
  org: undefined,
  subject: undefined,
  sentAt: undefined,
  answeredAt: undefined,
  error: undefined,
});

/** A request's one line in the log. */
export interface RequestLine {
  requestId: string;
  org: string | undefined;
  subject: string | undefined;
  method: string;
  route: string | undefined;
  status: number;
  /** Whether it was let through, whatever its Vault said to it; refused here; or could not be served. */
  decision: "allowed" | "refused" | "failed" | "gone";
  /** Why, of a closed set; undefined where it was allowed and the answer is a 2xx. */
  reason?: string;
  /** What went wrong on the way to a Vault. */
  cause?: string;
  ms: number;
  upstreamMs: number | undefined;
}

/** The status logged for a caller that went away before its answer began, as others log it too. */
const CALLER_GONE = 499;

export interface RequestLogOptions {
  logger: Logger;
  /** Told of each line. */
  observe?: ((line: RequestLine) => void) | undefined;
  /** Says when a line is made; at once by default. */
  defer?: ((log: () => void) => void) | undefined;
}

/** Logs the line of a trace when the answer to its request has ended, in whatever way. */
export type LogRequest = (trace: Trace, response: ServerResponse) => void;

/**
 * A log of one line a request: nothing of its path but the route, of its caller but a digest, of its token
 * nothing.
 */
export function createRequestLog({ logger, observe, defer = (log) => log() }: RequestLogOptions): LogRequest {
  const lines = forFlatLines(logger);
  return (trace, response) => {
    // Fastify's onResponse does not come if a connection breaks.
    response.on("close", () => {
      const line = requestLine(trace, response);
      if (line.status === 500) logger.error({ ...line, err: trace.error }, "request");
      else {
        const ended = Date.now();
        defer(() => lines.info({ time: new Date(ended).toISOString(), ...line }, "request"));
      }
      observe?.(line);
    });
  };
}

function requestLine(trace: Trace, response: ServerResponse): RequestLine {
  const { requestId, method, began, route, org, subject, sentAt, answeredAt, error } = trace;
  const status = response.headersSent ? response.statusCode : CALLER_GONE;
  return {
    requestId,
    org,
    subject,
    method,
    route,
    status,
    ...decide(status, error, response.writableFinished),
    ms: round(performance.now() - began),
    upstreamMs: sentAt && answeredAt ? round(answeredAt - sentAt) : undefined,
  };
}

function decide(
  status: number,
  error: unknown,
  finished: boolean,
): Pick<RequestLine, "decision" | "reason" | "cause"> {
  if (error !== undefined) {
    // An answer that breaks off has the status that it began with.
    return { decision: status >= 400 && status < 500 ? "refused" : "failed", ...describe(error) };
  }
  if (!finished) return { decision: "gone", reason: "caller_gone" };
  return status < 400 ? { decision: "allowed" } : { decision: "allowed", reason: `answer_${status}` };
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
