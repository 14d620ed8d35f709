import type { FastifyRequest } from "fastify";
import { Type } from "typebox";
import { Value } from "typebox/value";
import { TrailEntry, type TrailEvent, TrailHead } from "../../shared/audit/trail.ts";
import type { Server } from "../../shared/http/server.ts";
import { OrgId } from "../../shared/org.ts";
import { problems } from "../openapi.ts";
import type { Trail } from "../trail.ts";

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
            { entries: Type.Array(TrailEntry), head: TrailHead },
            { additionalProperties: false },
          ),
          ...problems(400, 401, 403, 503),
        },
      },
    },
    async (request) => {
      const { sequence, hash } = await trail.head();
      return { entries: await trail.read(Number(request.query.after ?? 0), PAGE), head: { sequence, hash } };
    },
  );
}

/**
 * Puts every request that changes something on the trail before it is done, with who asks, and its answer
 * behind it. What cannot be put there is not done. Call it before the routes, behind the authorization.
 */
export function recordOnTrail(app: Server, trail: Trail): void {
  app.addHook("preHandler", async (request) => {
    const event = eventOf(request);
    if (event) await trail.append(event);
  });
  app.addHook("onResponse", async (request, { statusCode: status }) => {
    const event = eventOf(request);
    if (!event) return;
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
