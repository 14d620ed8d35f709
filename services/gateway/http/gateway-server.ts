import type { Limits } from "../../shared/front/limits.ts";
import { createServer, type Server } from "../../shared/http/server.ts";
import type { GatewayOptions } from "../dependencies.ts";
import { connectionErrors } from "./connection-errors.ts";
import { boundConnections } from "./connections.ts";
import { BoundedRequest } from "./pieces.ts";

const MAX_BODY_BYTES = 1024 * 1024;

/** The gateway's server, before it serves anything: one reader of paths, bounded connections, and the verb LIST. */
export function createGatewayServer(
  { logger, tls, behindProxy = false, limits: rates }: GatewayOptions,
  limits: Limits,
): Server {
  /** Whether an address may have an answer to what is no HTTP. A proxy in front has an address of its own. */
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
    // There is one reader of paths here, and it is not Fastify's router.
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
