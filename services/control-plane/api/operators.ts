import type { FastifyRequest } from "fastify";
import { decodeJwt } from "jose";
import type { Logger } from "pino";
import { StrongroomError } from "../../shared/errors.ts";
import { registerIdentity } from "../../shared/front/identity/authenticator.ts";
import { TokenRefused } from "../../shared/front/identity/refused.ts";
import { requestToken } from "../../shared/front/identity/token.ts";
import type { Server } from "../../shared/http/server.ts";
import type { Issuer } from "../../shared/org.ts";

/** The caller, once the token is verified. */
export interface Operator {
  subject: string;
}

declare module "fastify" {
  interface FastifyRequest {
    operator: Operator | undefined;
  }
}

const MAX_TOKEN_LIFETIME_SECONDS = 3600;

/**
 * Requires a token with the route's permission, before the body is read. A caller with a token for the gateway is
 * told so: `tenants` are the issuers of organizations' tokens.
 */
export function authorizeOperators(
  app: Server,
  issuer: Issuer,
  tenants: readonly Issuer[],
  logger: Logger,
): void {
  const issuers = [issuer];
  const authenticator = registerIdentity(app, {
    issuers: () => issuers,
    logger,
    maxLifetimeSeconds: MAX_TOKEN_LIFETIME_SECONDS,
  });
  const authenticate = async (request: FastifyRequest) => authenticator.verify(requestToken(request.raw));
  app.decorateRequest("operator", undefined);
  app.addHook("onRequest", async (request) => {
    const { access } = request.routeOptions.config;
    if (!access || "open" in access) return;
    if (!("permission" in access)) throw new Error("a route of the control plane declares no permission");
    const { subject, permissions } = await authenticate(request).catch((error: unknown) => {
      const kind = error instanceof TokenRefused && kindOf(request, tenants);
      if (!kind) throw error;
      const detail = `This is ${kind}, which only the gateway accepts. The control plane accepts operators' tokens.`;
      throw new StrongroomError("unauthenticated", detail, { cause: error });
    });
    request.operator = { subject };
    if (!permissions.includes(access.permission)) {
      throw new StrongroomError("forbidden", `The token lacks the permission ${access.permission}.`);
    }
  });
}

/** The kind of a refused token according to its unverified claims, which only select a hint. */
function kindOf(request: FastifyRequest, tenants: readonly Issuer[]): string | undefined {
  try {
    const token = requestToken(request.raw);
    if (/^o[a-z2-7]{15}\.hvs\./.test(token)) return "the token of an organization's machine";
    const { iss, aud = [] } = decodeJwt(token);
    const isTenants = tenants.some(
      ({ issuer, audience }) => issuer === iss && [aud].flat().includes(audience),
    );
    return isTenants ? "the token of an organization's member" : undefined;
  } catch {
    return undefined;
  }
}
