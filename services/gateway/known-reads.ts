import { randomUUID } from "node:crypto";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { unitsOfAnswer } from "../shared/front/cost.ts";
import type { Limits } from "../shared/front/limits.ts";
import { type LogRequest, newTrace } from "../shared/front/request-log.ts";
import { HSTS, type Server } from "../shared/http/server.ts";
import { endWithError } from "./answer/send.ts";
import { isList } from "./http/list-verb.ts";
import { GatewayPassage } from "./passage.ts";
import type { Pipeline } from "./pipeline.ts";
import { forward } from "./upstream/forward.ts";
import { Relay } from "./upstream/relay.ts";

export interface KnownReadsOptions {
  pipeline: Pipeline;
  limits: Limits;
  logRequest: LogRequest;
  /** Whether the gateway serves TLS. */
  tls: boolean;
}

/**
 * Fast path for known callers' reads, before Fastify sees them: GET without a body, by a JWT verified before and logged
 * in at its Vault. They are most of the traffic, and nothing but the Vault has to be awaited. They pass the checks of
 * every request; if a check refuses or would have to wait, nothing has been counted or sent yet, and the request goes
 * through Fastify, which answers it.
 */
export function serveKnownReads(app: Server, { pipeline, limits, logRequest, tls }: KnownReadsOptions): void {
  const [others] = app.server.listeners("request") as RequestListener[];
  if (!others) throw new Error("Fastify has registered no request listener on the server");
  let closing = false;
  app.addHook("preClose", (done) => {
    closing = true; // from now on Fastify answers, and tells clients to close their connections
    done();
  });
  app.server.removeAllListeners("request");
  app.server.on("request", (request, response) => {
    const passage = closing ? undefined : knownRead(request, response, pipeline);
    if (passage) void serve(passage);
    else others(request, response);
  });

  async function serve({
    trace,
    org,
    target,
    upstream,
    vaultToken,
    response,
  }: GatewayPassage): Promise<void> {
    const { requestId } = trace;
    logRequest(trace, response);
    trace.sentAt = trace.began;
    if (tls) response.setHeader(...HSTS);
    const relay = new Relay(response, trace);
    try {
      await forward(upstream, { method: "GET", path: target.path, token: vaultToken, requestId }, relay);
    } catch (error) {
      trace.error = error;
      if (!response.headersSent) endWithError(response, trace, error);
    }
    limits.chargeOrg(org.id, unitsOfAnswer(relay.size));
  }
}

function knownRead(
  raw: IncomingMessage,
  response: ServerResponse,
  pipeline: Pipeline,
): GatewayPassage | undefined {
  const { method, httpVersion, headers, url = "" } = raw;
  if (method !== "GET" || httpVersion !== "1.1") return undefined;
  if (headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined) return undefined;
  const trace = newTrace(randomUUID(), isList(raw) ? "LIST" : "GET");
  const passage = new GatewayPassage({ raw, url, address: undefined, response }, trace, { isPatient: false });
  return pipeline.admitKnownRead(passage) ? passage : undefined;
}
