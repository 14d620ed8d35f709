import { isCallersFault, type Limits, TooManyRequests } from "../shared/front/limits.ts";
import { drain } from "../shared/front/uploads.ts";
import type { Server } from "../shared/http/server.ts";
import { sendError } from "./answer/send.ts";
import { chargeFailed } from "./charges.ts";

/**
 * Answers requests that were refused or failed. A failure that is the caller's fault and belongs to no organization is
 * charged to the client's address; the rest of the body is drained; a 429 is delayed.
 */
export function answerErrors(app: Server, limits: Limits): void {
  app.setErrorHandler(async (error, request, reply) => {
    const { raw, ip: address, trace, body } = request;
    trace.error = error;
    if (!trace.org && isCallersFault(error)) chargeFailed(limits, { raw, address, body });
    if (!raw.complete) drain(raw);
    if (error instanceof TooManyRequests) await limits.holdBack();
    if (!reply.sent) sendError(reply, error);
    return reply;
  });
}
