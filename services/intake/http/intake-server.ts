import type { Socket } from "node:net";
import type { Logger } from "pino";
import { boundConnections } from "../../shared/front/http/connections.ts";
import { BoundedRequest } from "../../shared/front/http/pieces.ts";
import type { LimitRates, Limits } from "../../shared/front/limits.ts";
import { answerClientError } from "../../shared/http/client-error.ts";
import { sendProblem } from "../../shared/http/problem.ts";
import { createServer, type Server, type TlsIdentity } from "../../shared/http/server.ts";
import { refuseOtherProtocols } from "./other-protocols.ts";

export interface IntakeServerOptions {
  logger: Logger;
  tls?: TlsIdentity | undefined;
  limits: Limits;
  rates: LimitRates;
  behindProxy: boolean;
}

/** The intake's server without routes: bounded connections, heads, bodies and pieces of bodies. */
export function createIntakeServer({ logger, tls, limits, rates, behindProxy }: IntakeServerOptions): Server {
  const app = createServer(logger, {
    tls,
    IncomingMessage: BoundedRequest,
    // Streamed bodies may take longer; admit.ts bounds the time of all others.
    requestTimeout: 0,
    clientErrorHandler: (error: { code?: string }, socket: Socket) => {
      if (!behindProxy && error.code?.startsWith("HPE_")) {
        const now = performance.now();
        if (limits.addressWait(socket.remoteAddress, now) > 0) return void socket.destroy();
        limits.countAddress(socket.remoteAddress, now);
      }
      answerClientError(error, socket);
    },
    // For paths that the router cannot parse; no hook runs for them.
    frameworkErrors: (error, request, reply) =>
      sendProblem(error, request, reply.header("X-Request-Id", request.id)),
    trustProxy: behindProxy ? (_address: string, hop: number) => hop === 0 : false,
  });
  app.removeContentTypeParser("text/plain");
  refuseOtherProtocols(app);
  boundConnections(app.server, {
    byAddress: Boolean(rates.address) && !behindProxy,
    isBarred: (address) => limits.isBarred(address, performance.now()),
  });
  return app;
}
