import fastifySwagger from "@fastify/swagger";
import { answerClientError } from "../../shared/http/client-error.ts";
import { openApi } from "../../shared/http/openapi.ts";
import { sendProblem } from "../../shared/http/problem.ts";
import { createServer, type Server } from "../../shared/http/server.ts";
import { refuseUnrouted } from "../../shared/http/unrouted.ts";
import type { Issuer } from "../../shared/org.ts";
import type { Platform } from "../dependencies.ts";
import type { Engine } from "../jobs/engine.ts";
import { auditRoutes, recordOnTrail } from "./audit.ts";
import { directoryRoutes } from "./directory.ts";
import { healthRoutes } from "./health.ts";
import { jobRoutes } from "./jobs.ts";
import { authorizeOperators } from "./operators.ts";
import { orgRoutes } from "./orgs.ts";
import { revocationRoutes } from "./revocations.ts";

export interface AppOptions {
  platform: Platform;
  engine: Engine;
  /** The issuer and the audience of operators' tokens. */
  operators: Issuer;
  /** Whether startup is complete; rejects if the internal Vault does not answer. */
  isReady(): Promise<boolean>;
}

/** The control plane's API. */
export async function createApp({ platform, engine, operators, isReady }: AppOptions): Promise<Server> {
  const app = createServer(platform.log, {
    clientErrorHandler: answerClientError,
    // For paths that the router cannot parse; no hook runs for them.
    frameworkErrors: (error, request, reply) =>
      sendProblem(error, request, reply.header("X-Request-Id", request.id)),
  });
  app.removeContentTypeParser("text/plain");
  app.setErrorHandler(sendProblem);
  refuseUnrouted(app);
  authorizeOperators(app, operators, platform.issuers, platform.log);
  recordOnTrail(app, platform.trail);
  app.addHook("onResponse", async (request, reply) => {
    request.log.info(
      {
        requestId: request.id,
        subject: request.operator?.subject,
        method: request.method,
        route: request.routeOptions.url,
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime * 10) / 10,
      },
      "request",
    );
  });
  await app.register(
    fastifySwagger,
    openApi({
      title: "Strongroom control plane",
      description: "Manages organizations, each with its own Vault. Errors are problem details (RFC 9457).",
      scheme: "operator",
    }),
  );

  app.register(async (routes: Server) => {
    orgRoutes(routes, platform, engine);
    jobRoutes(routes, platform, engine);
    directoryRoutes(routes, platform.directory);
    revocationRoutes(routes, platform);
    auditRoutes(routes, platform.trail);
    healthRoutes(routes, isReady);
  });
  return app;
}
