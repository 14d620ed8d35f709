import type { FastifyReply, FastifyRequest } from "fastify";
import { boundPieces } from "../shared/front/http/pieces.ts";
import { type LogRequest, newTrace, type Trace } from "../shared/front/request-log.ts";
import type { Server } from "../shared/http/server.ts";
import type { Handler } from "./answer/handler.ts";
import { endWithError } from "./answer/send.ts";
import type { Dependencies } from "./dependencies.ts";
import { isList } from "./http/list-verb.ts";
import { GatewayPassage } from "./passage.ts";
import type { Pipeline } from "./pipeline.ts";
import { bodyOf } from "./route/bodies.ts";
import type { Answer } from "./route/routes.ts";

declare module "fastify" {
  interface FastifyRequest {
    trace: Trace;
    passage: GatewayPassage;
  }
}

export interface ServeOptions {
  dependencies: Dependencies;
  pipeline: Pipeline;
  answers: Record<Answer, Handler>;
  logRequest: LogRequest;
}

/** Serves requests in this order: trace, checks, body, answer. */
export function serveRequests(
  app: Server,
  { dependencies: { bodies, limits }, pipeline, answers, logRequest }: ServeOptions,
): void {
  app.decorateRequest("trace");
  app.decorateRequest("passage");
  app.addHook("onRequest", (request, reply, done) => {
    request.trace = newTrace(request.id, isList(request.raw) ? "LIST" : request.method);
    logRequest(request.trace, reply.raw);
    done();
  });
  app.addHook("onRequest", async (request, reply) => {
    const { raw, originalUrl: url, ip: address } = request;
    const passage = new GatewayPassage({ raw, url, address, response: reply.raw }, request.trace, {
      isPatient: true,
    });
    request.passage = passage;
    boundPieces(request, reply.raw, limits, endWithError);
    await pipeline.admit(passage);
    // An open path is answered before a body is read, except for a login, whose JWT is in its body.
    const { answer } = passage.target.route;
    if (passage.isOpen && answer !== "login")
      return answers[answer]({ request, reply, passage, body: undefined });
    return undefined;
  });

  const serve = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { passage } = request;
    const { route, verb } = passage.target;
    const body = passage.isOpen ? undefined : bodyOf(request.body, verb);
    const answer = async () => answers[route.answer]({ request, reply, passage, body });
    if (!body) return answer();
    const checked = { org: passage.org.id, bytes: body, contentType: request.headers["content-type"], verb };
    return bodies.take({ ...checked, isGone: () => reply.raw.destroyed }, answer);
  };
  app.all("/", { config: { access: { open: "each path has its own access: route/routes.ts" } } }, serve);
  app.setNotFoundHandler(serve);
}
