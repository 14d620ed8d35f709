import type { FastifyRequest } from "fastify";
import type { Logger } from "pino";
import { StrongroomError } from "../../shared/errors.ts";
import { callerChecks } from "../../shared/front/admit.ts";
import { unitsOfBody } from "../../shared/front/cost.ts";
import { checkFraming } from "../../shared/front/http/check-framing.ts";
import { boundPieces } from "../../shared/front/http/pieces.ts";
import type { Authenticator } from "../../shared/front/identity/authenticator.ts";
import { hasRight, isAtLeast, RIGHTS, requireLevel } from "../../shared/front/levels.ts";
import type { Limits } from "../../shared/front/limits.ts";
import { type Check, found, Passage, pass } from "../../shared/front/passage.ts";
import type { DirectorySource } from "../../shared/front/published/directory-source.ts";
import type { RevocationSource } from "../../shared/front/published/revocation-source.ts";
import { createRequestLog, newTrace, type Trace } from "../../shared/front/request-log.ts";
import { Uploads } from "../../shared/front/uploads.ts";
import type { Server } from "../../shared/http/server.ts";
import { boundBodyTime } from "./body-time.ts";
import "./caller.ts";
import { endWithProblem } from "./refuse.ts";

export interface AdmitOptions {
  logger: Logger;
  directory: DirectorySource;
  revocations: RevocationSource;
  authenticator: Authenticator;
  limits: Limits;
}

declare module "fastify" {
  interface FastifyRequest {
    trace: Trace;
  }
}

/**
 * Logs every request and lets callers in, before their bodies are read: in the same order as at the gateway, and last
 * the level or the right that the route declares. A request without a route needs a valid token too, so that strangers cannot tell
 * which paths exist. Call it before the routes.
 */
export function admitMembers(
  app: Server,
  { logger, directory, revocations, authenticator, limits }: AdmitOptions,
): void {
  const logRequest = createRequestLog({ logger });
  const uploads = new Uploads((org, bytes) => limits.chargeOrg(org, unitsOfBody(bytes)));
  const caller = callerChecks({ directory, revocations, authenticator, limits });
  const framing: Check = {
    run({ raw }) {
      checkFraming(raw);
      return undefined;
    },
  };
  const order: readonly Check[] = [
    framing, // every parser agrees where its body ends
    caller.recall, // was its JWT verified before?
    caller.address, // if not, its address is within the limit for failed requests
    caller.token, // its JWT was signed by an issuer in the directory
    caller.organization, // the JWT's pair (issuer, claim) names an organization
    caller.revocation, // the JWT was not revoked
    caller.charge, // the organization is within its rate limit, and is charged
    caller.headers, // no header names another organization or namespace
  ];
  /** An open route needs nobody, but its caller's address pays for it. */
  const openOrder: readonly Check[] = [
    framing,
    caller.address,
    {
      run({ address, trace }) {
        limits.countAddress(address, trace.began);
        return undefined;
      },
    },
  ];

  app.decorateRequest("trace");
  app.decorateRequest("caller", undefined);
  app.addHook("onRequest", (request, reply, done) => {
    request.trace = newTrace(request.id, request.method);
    request.trace.route = request.routeOptions.url;
    logRequest(request.trace, reply.raw);
    reply.header("Cache-Control", "no-store").header("X-Content-Type-Options", "nosniff");
    done();
  });
  app.addHook("onRequest", async (request, reply) => {
    const { raw, ip, trace } = request;
    const passage = new Passage(raw, ip, trace, { isPatient: true });
    boundBodyTime(raw);
    boundPieces(request, reply.raw, limits, endWithProblem);
    const { access, isStreamed } = request.routeOptions.config;
    if (access && "open" in access) return pass(openOrder, passage);
    await pass(order, passage);
    request.caller = passage;
    if (!request.is404) requireAccess(request, passage);
    // A streamed body is not held: what the organization has in hand is bounded in another way.
    if (!isStreamed) uploads.admit(passage.org.id, raw, reply.raw);
  });
}

/** A route that declares neither a level nor a right serves nobody. */
function requireAccess({ routeOptions: { config, url } }: FastifyRequest, passage: Passage): void {
  const { access } = config;
  const identity = found("caller", passage.identity);
  if (access && "right" in access) {
    if (hasRight(identity, access.right)) return;
    const detail = `This needs the level admin or the group ${RIGHTS[access.right]}, which the token does not have.`;
    throw new StrongroomError("forbidden", detail);
  }
  if (!access || !("level" in access)) throw new Error(`${url}: the route declares neither level nor right`);
  if (isAtLeast(requireLevel(identity), access.level)) return;
  throw new StrongroomError(
    "forbidden",
    `This needs the level ${access.level}, which the token does not have.`,
  );
}
