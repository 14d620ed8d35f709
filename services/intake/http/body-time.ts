import type { IncomingMessage } from "node:http";
import { hasBody } from "../../shared/front/uploads.ts";
import { answerClientError } from "../../shared/http/client-error.ts";

/** A body must have come by then, from the request's head on. */
const BODY_MS = 15_000;

const timers = new WeakMap<IncomingMessage, NodeJS.Timeout>();

/** Ends the connection of a request whose body takes too long. */
export function boundBodyTime(request: IncomingMessage): void {
  if (!hasBody(request)) return;
  const timer = setTimeout(
    () => answerClientError({ code: "ERR_HTTP_REQUEST_TIMEOUT" }, request.socket),
    BODY_MS,
  ).unref();
  timers.set(request, timer);
  request.once("end", () => clearTimeout(timer));
  request.once("close", () => clearTimeout(timer));
}

/** Lets a body take any time that it does not stand still: it is streamed to where it is needed. */
export function unboundBodyTime(request: IncomingMessage): void {
  clearTimeout(timers.get(request));
}
