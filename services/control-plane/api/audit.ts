import type { FastifyRequest } from "fastify";
import { Type } from "typebox";
import { Value } from "typebox/value";
import { TrailEntry, type TrailEvent, TrailHead } from "../../shared/audit/trail.ts";
import { problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";
import { OrgId } from "../../shared/org.ts";
import type { Trail } from "../trail.ts";

const PAGE = 200;

const Query = Type.Object(
  {
    after: Type.Optional(
      Type.String({ pattern: "^[0-9]{1,12}$", description: "Number of the last entry already read" }),
    ),
  },
  { additionalProperties: false },
);

/** The audit trail of operators' requests and their outcomes. */
export function auditRoutes(app: Server, trail: Trail): void {
  app.get(
    "/v1/audit",
    {
      config: { access: { permission: "audit:read" } },
      schema: {
        summary: `Read the audit trail, up to ${PAGE} entries at a time, oldest first`,
        querystring: Query,
        response: {
          200: Type.Object(
            {
              entries: Type.Array(TrailEntry),
              foreign: Type.Array(Type.Integer(), {
                description: "Slot numbers in this page that contain something other than an entry",
              }),
              strays: Type.Array(Type.String(), {
                description:
                  "On the last page: keys in the trail's mount that are not on the trail, the first hundred",
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
    /** Whether the request is on the trail, so that its response must be recorded there too. */
    isOnTrail: boolean;
  }
}

/**
 * Records every request that changes something on the trail, with its operator: the request before it is executed,
 * and its response status afterwards. A request that cannot be recorded is not executed. A request refused earlier,
 * for a missing permission or an invalid form, is only logged: the trail is kept forever, so only permitted
 * requests may fill it. Call this before the routes and after the authorization.
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
      request.log.warn({ ...event, status, refused }, "request refused, therefore not on the trail");
      return;
    }
    await trail.append({ ...event, status }).catch((err: unknown) => {
      request.log.error({ requestId: request.id, status, err }, "cannot record the response on the trail");
    });
  });
}

/** Undefined for a request that changes nothing or has no operator. */
function eventOf(request: FastifyRequest): Omit<TrailEvent, "at"> | undefined {
  const { operator, method, routeOptions, id: requestId } = request;
  if (!operator || method === "GET") return undefined;
  const { id: org } = request.params as { id?: string };
  const action = `${method} ${routeOptions.url}`;
  return { actor: operator.subject, action, requestId, ...(Value.Check(OrgId, org) && { org }) };
}
