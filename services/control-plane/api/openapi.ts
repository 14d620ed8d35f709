import type { Readable } from "node:stream";
import type { FastifyDynamicSwaggerOptions } from "@fastify/swagger";
import type { FastifySchema } from "fastify";
import { type TSchema, Type } from "typebox";
import { PROBLEM_TYPE, Problem } from "../../shared/http/problem.ts";

/** Generates `GET /v1/openapi.json` from the routes' declarations. */
export const openApi: FastifyDynamicSwaggerOptions = {
  openapi: {
    openapi: "3.2.0", // the first version that can describe a stream's events
    info: {
      title: "Strongroom control plane",
      version: "1",
      description: "Manages organizations, each with its own Vault. Errors are problem details (RFC 9457).",
    },
    components: {
      securitySchemes: { operator: { type: "http", scheme: "bearer", bearerFormat: "JWT" } },
    },
  },
  transform({ schema, url, route }) {
    const access = route.config?.access ?? { open: "" };
    const isOpen = "open" in access;
    const who = isOpen
      ? `No authentication: ${access.open}.`
      : `Requires the permission \`${access.permission}\`.`;
    const shown: FastifySchema = {
      ...schema,
      description: [schema.description, who].filter(Boolean).join(". "),
      security: isOpen ? [] : [{ operator: [access.permission] }],
    };
    return { schema: shown, url };
  },
};

/** A response of server-sent events, each with its number as `id` and this schema as JSON in `data`. */
export const eventStream = (data: TSchema) => ({
  description: "Server-sent events",
  content: {
    "text/event-stream": {
      schema: Type.Unsafe<Readable>(Type.String()),
      itemSchema: Type.Object({
        id: Type.String({ pattern: "^[0-9]+$" }),
        event: Type.String(),
        data: Type.String({ contentMediaType: "application/json", contentSchema: data }),
      }),
    },
  },
});

/** The error responses of a route: each listed status is a problem. */
export const problems = <S extends number>(...statuses: S[]) =>
  Object.fromEntries(
    statuses.map((status) => [
      status,
      { description: "A problem", content: { [PROBLEM_TYPE]: { schema: Type.Unsafe<Problem>(Problem) } } },
    ]),
  );
