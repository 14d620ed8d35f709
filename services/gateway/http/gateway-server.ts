import { boundConnections } from "../../shared/front/http/connections.ts";
import { BoundedRequest } from "../../shared/front/http/pieces.ts";
import type { Limits } from "../../shared/front/limits.ts";
import { createServer, type Server } from "../../shared/http/server.ts";
import type { GatewayOptions } from "../dependencies.ts";
import { connectionErrors } from "./connection-errors.ts";

const MAX_BODY_BYTES = 1024 * 1024;

/** The gateway's server without routes: a single path parser, bounded connections, and the verb LIST. */
export function createGatewayServer(
  { logger, tls, behindProxy = false, limits: rates }: GatewayOptions,
  limits: Limits,
): Server {
  /** Whether to answer malformed HTTP from an address. Behind a proxy the address is the proxy's, so always. */
  const countGarbage = (address: string | undefined): boolean => {
    if (behindProxy) return true;
    const now = performance.now();
    if (limits.addressWait(address, now) > 0) return false;
    limits.countAddress(address, now);
    return true;
  };
  const app = createServer(logger, {
    bodyLimit: MAX_BODY_BYTES,
    tls,
    IncomingMessage: BoundedRequest,
    // Only `canonicalPath` parses paths, never Fastify's router.
    rewriteUrl: () => "/",
    childLoggerFactory: (parent) => parent,
    clientErrorHandler: connectionErrors(
      (...list) => app.server.emit("request", ...list),
      logger,
      countGarbage,
    ),
    return503OnClosing: false,
    trustProxy: behindProxy ? (_address: string, hop: number) => hop === 0 : false,
  });
  boundConnections(app.server, {
    byAddress: Boolean(rates?.address) && !behindProxy,
    isBarred: (address) => limits.isBarred(address, performance.now()),
  });
  return app;
}
