import type { ServerResponse } from "node:http";
import type { Logger } from "pino";
import { StrongroomError } from "../errors.ts";
import { forFlatLines } from "../log.ts";
import { TokenRefused } from "./identity/refused.ts";
import type { CallerTrace } from "./passage.ts";

/** What is known so far about a request, for its one log line. */
export interface Trace extends CallerTrace {
  readonly requestId: string;
  readonly method: string;
  route: string | undefined;
  /** When the work with an upstream, such as the organization's Vault, began, and when its response headers arrived. */
  sentAt: number | undefined;
  answeredAt: number | undefined;
  error: unknown;
}

/** The trace of a request that has just arrived. */
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
  /**
   * `allowed`: forwarded or answered, whatever its Vault decided. `refused`: by this service. `failed`: it could not be
   * served. `gone`: the caller disconnected before the response ended.
   */
  decision: "allowed" | "refused" | "failed" | "gone";
  /** Why, from a closed set; undefined if it was allowed and the status is below 400. */
  reason?: string;
  /** The underlying error, if there is one. */
  cause?: string;
  ms: number;
  upstreamMs: number | undefined;
}

/** The status logged if the caller disconnected before the response began (nginx's 499). */
const CALLER_GONE = 499;

export interface RequestLogOptions {
  logger: Logger;
  /** Called with each line. */
  observe?: ((line: RequestLine) => void) | undefined;
  /** Schedules the writing of a line; at once by default. */
  defer?: ((log: () => void) => void) | undefined;
}

/** Logs a trace's line when the response has ended, whether it completed or not. */
export type LogRequest = (trace: Trace, response: ServerResponse) => void;

/**
 * A log of one line a request: of the path only the route, of the caller only a digest, and nothing of the token.
 */
export function createRequestLog({ logger, observe, defer = (log) => log() }: RequestLogOptions): LogRequest {
  const lines = forFlatLines(logger);
  return (trace, response) => {
    // Fastify does not call onResponse if the connection breaks.
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
    // A response that was cut off keeps the status that it began with.
    return { decision: status >= 400 && status < 500 ? "refused" : "failed", ...describe(error) };
  }
  if (!finished) return { decision: "gone", reason: "caller_gone" };
  return status < 400 ? { decision: "allowed" } : { decision: "allowed", reason: `answer_${status}` };
}

/** `reason` is from a closed set; `cause` is the underlying error, if there is one. */
function describe(error: unknown): { reason: string; cause?: string } {
  const { code, cause } = error as { code?: string; cause?: unknown };
  if (error instanceof TokenRefused) return { reason: error.reason };
  if (!(error instanceof StrongroomError)) return { reason: code ?? "unexpected" };
  if (cause === undefined) return { reason: error.code };
  const { code: causeCode, message } = cause as { code?: string; message?: string };
  return { reason: error.code, cause: causeCode ?? message ?? String(cause) };
}

const round = (ms: number): number => Math.round(ms * 100) / 100;
