import type { ServerResponse } from "node:http";
import { KeyProviderError } from "../../shared/envelope/key-provider.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { unitsOfAnswer, unitsOfBody, unitsOfHead } from "../../shared/front/cost.ts";
import { isCallersFault, type Limits, TooManyRequests } from "../../shared/front/limits.ts";
import type { Trace } from "../../shared/front/request-log.ts";
import { announcedBytes, drain } from "../../shared/front/uploads.ts";
import { PROBLEM_TYPE, sendProblem, toProblem } from "../../shared/http/problem.ts";
import type { Server } from "../../shared/http/server.ts";
import { CallRefused } from "../broker/failures.ts";
import { StoreUnavailableError } from "../store/store.ts";

/**
 * Answers requests that were refused or failed, with a problem. A failure that is the caller's fault and belongs to no
 * organization is charged to the client's address; the rest of the body is drained; a 429 is delayed.
 */
export function answerErrors(app: Server, limits: Limits): void {
  app.setErrorHandler(async (thrown, request, reply) => {
    const { raw, ip, trace, body } = request;
    const error = asStrongroomError(thrown);
    trace.error = error;
    if (!trace.org && isCallersFault(error)) {
      const read = body === undefined ? unitsOfAnswer(announcedBytes(raw)) : unitsOfBody(announcedBytes(raw));
      limits.countAddress(ip, performance.now(), unitsOfHead(raw) + read);
    }
    if (!raw.complete) drain(raw);
    if (error instanceof TooManyRequests) await limits.holdBack();
    if (reply.sent) return reply;
    if (isUse(raw.url)) reply.header("Strongroom-Answer", "platform");
    const seconds = retryAfterSeconds(error);
    if (seconds !== undefined) reply.header("Retry-After", seconds);
    return sendProblem(error, request, reply);
  });
}

/** Whether an answer could be taken for a destination's: by the URL, since some refusals come before any route. */
const isUse = (url = ""): boolean => url.startsWith("/v1/use/");

/** When a request that was one too many may come again. */
function retryAfterSeconds(error: unknown): number | undefined {
  if (error instanceof TooManyRequests || error instanceof CallRefused) {
    if (error.retryAfterSeconds !== undefined) return error.retryAfterSeconds;
  }
  const isTooMany = error instanceof StrongroomError && error.code === "too_many_requests";
  return isTooMany ? RETRY_SECONDS : undefined;
}
const RETRY_SECONDS = 5;

/** Errors of the store and of a key provider as what a caller may know of them. */
function asStrongroomError(error: unknown): unknown {
  if (error instanceof StoreUnavailableError) {
    const detail = "The store is not responding. Try again in a moment.";
    return new StrongroomError("store_unavailable", detail, { cause: error });
  }
  if (error instanceof KeyProviderError) {
    const detail = "The key provider is not responding. Nothing was stored; try again in a moment.";
    return new StrongroomError("key_provider_unavailable", detail, { cause: error });
  }
  return error;
}

/** Answers with a problem on a response that Fastify does not handle. */
export function endWithProblem(
  response: ServerResponse,
  { requestId }: Pick<Trace, "requestId">,
  error: unknown,
): void {
  const problem = toProblem(error, requestId);
  const body = JSON.stringify(problem);
  response.writeHead(problem.status, {
    "Content-Type": PROBLEM_TYPE,
    "Content-Length": Buffer.byteLength(body),
    "Cache-Control": "no-store",
    "X-Request-Id": requestId,
  });
  response.end(body);
}
