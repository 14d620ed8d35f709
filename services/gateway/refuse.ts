import { isCallersFault, type Limits, TooManyRequests } from "../shared/front/limits.ts";
import { drain } from "../shared/front/uploads.ts";
import type { Server } from "../shared/http/server.ts";
import { sendError } from "./answer/send.ts";
import { chargeFailed } from "./charges.ts";

/**
 * Answers what was refused or failed. Whoever belongs to no organization pays by the address if it was the caller's
 * fault; what still comes of the body is taken and thrown away; too many requests are told so slowly.
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
