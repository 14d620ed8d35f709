import type { Logger } from "pino";
import { StrongroomError } from "../shared/errors.ts";
import type { Server } from "../shared/http/server.ts";
import { registerIdentity } from "../shared/identity/identity.ts";
import type { Issuer } from "../shared/org.ts";

/** Who calls, once their token is verified. */
export interface Operator {
  subject: string;
}

declare module "fastify" {
  interface FastifyRequest {
    operator: Operator | undefined;
  }
}

const MAX_TOKEN_LIFETIME_SECONDS = 3600;

/** Lets a request pass only with a token that has the route's permission, before its body is read. */
export function authorizeOperators(app: Server, issuer: Issuer, logger: Logger): void {
  const issuers = [issuer];
  const authenticator = registerIdentity(app, {
    issuers: () => issuers,
    logger,
    maxLifetimeSeconds: MAX_TOKEN_LIFETIME_SECONDS,
  });
  app.decorateRequest("operator", undefined);
  app.addHook("onRequest", async (request) => {
    const { access } = request.routeOptions.config;
    if (!access || "open" in access) return;
    const { subject, permissions } = await authenticator.authenticate(request);
    request.operator = { subject };
    if (!permissions.includes(access.permission)) {
      throw new StrongroomError("forbidden", `The token lacks the permission ${access.permission}.`);
    }
  });
}
