import type { FastifyRequest } from "fastify";
import { Type } from "typebox";
import { Value } from "typebox/value";
import { TrailEntry, type TrailEvent, TrailHead } from "../../shared/audit/trail.ts";
import type { Server } from "../../shared/http/server.ts";
import { OrgId } from "../../shared/org.ts";
import type { Trail } from "../trail.ts";
import { problems } from "./openapi.ts";

const PAGE = 200;

const Query = Type.Object(
  {
    after: Type.Optional(
      Type.String({ pattern: "^[0-9]{1,12}$", description: "Number of the last entry seen" }),
    ),
  },
  { additionalProperties: false },
);

/** The trail of what operators asked for and what came of it. */
export function auditRoutes(app: Server, trail: Trail): void {
  app.get(
    "/v1/audit",
    {
      config: { access: { permission: "audit:read" } },
      schema: {
        summary: `The trail, ${PAGE} entries at a time, oldest first`,
        querystring: Query,
        response: {
          200: Type.Object(
            {
              entries: Type.Array(TrailEntry),
              foreign: Type.Array(Type.Integer(), {
                description: "Numbers among them at which something else stands",
              }),
              strays: Type.Array(Type.String(), {
                description: "On the last page: keys off the trail, the first hundred",
              }),
              head: TrailHead,
            },
            { additionalProperties: false },
          ),
          ...problems(400, 401, 403, 503),
        },
      },
    },
    async (request) => {
      const head = await trail.head();
      const page = await trail.read(Number(request.query.after ?? 0), PAGE);
      const isLast = page.entries.length + page.foreign.length < PAGE;
      return { ...page, strays: isLast ? await trail.strays() : [], head };
    },
  );
}

declare module "fastify" {
  interface FastifyRequest {
    /** Whether the request is on the trail, so that its answer belongs there too. */
    isOnTrail: boolean;
  }
}

/**
 * Puts every request that changes something on the trail before it is done, with who asks, and its answer
 * behind it. What cannot be put there is not done. What is refused before that, for want of a permission or for
 * its form, leaves a line in the log: the trail is kept for ever, and fills by what operators may do alone. Call
 * it before the routes, behind the authorization.
 */
export function recordOnTrail(app: Server, trail: Trail): void {
  let refused = 0;
  app.decorateRequest("isOnTrail", false);
  app.addHook("preHandler", async (request) => {
    const event = eventOf(request);
    if (!event) return;
    await trail.append(event);
    request.isOnTrail = true;
  });
  app.addHook("onResponse", async (request, { statusCode: status }) => {
    const event = eventOf(request);
    if (!event) return;
    if (!request.isOnTrail) {
      refused++;
      request.log.warn({ ...event, status, refused }, "refused, and so not on the trail");
      return;
    }
    await trail.append({ ...event, status }).catch((err: unknown) => {
      request.log.error({ requestId: request.id, status, err }, "the answer is not on the trail");
    });
  });
}

/** Undefined for what changes nothing, and for what no operator asks for. */
function eventOf(request: FastifyRequest): Omit<TrailEvent, "at"> | undefined {
  const { operator, method, routeOptions, id: requestId } = request;
  if (!operator || method === "GET") return undefined;
  const { id: org } = request.params as { id?: string };
  const action = `${method} ${routeOptions.url}`;
  return { actor: operator.subject, action, requestId, ...(Value.Check(OrgId, org) && { org }) };
}
