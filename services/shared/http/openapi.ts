import type { Readable } from "node:stream";
import type { FastifyDynamicSwaggerOptions } from "@fastify/swagger";
import type { FastifySchema } from "fastify";
import { type TSchema, Type } from "typebox";
import { RIGHTS } from "../front/levels.ts";
import { PROBLEM_TYPE, Problem } from "./problem.ts";
import type { Access } from "./server.ts";

/** An API's title and description, and the name of its callers' scheme of authentication. */
export interface ApiDescription {
  title: string;
  description: string;
  scheme: string;
}

/** Generates `GET /v1/openapi.json` from the routes' declarations. */
export const openApi = ({ title, description, scheme }: ApiDescription): FastifyDynamicSwaggerOptions => ({
  openapi: {
    openapi: "3.2.0", // the first version that can describe a stream's events
    info: { title, version: "1", description },
    components: {
      securitySchemes: { [scheme]: { type: "http", scheme: "bearer", bearerFormat: "JWT" } },
    },
  },
  transform({ schema, url, route }) {
    const access = route.config?.access ?? { open: "" };
    const shown: FastifySchema = {
      ...schema,
      description: [schema.description, whoMay(access)].filter(Boolean).join(". "),
      security: "open" in access ? [] : [{ [scheme]: Object.values(access) }],
    };
    return { schema: shown, url };
  },
});

function whoMay(access: Access): string {
  if ("open" in access) return `No authentication: ${access.open}.`;
  if ("permission" in access) return `Requires the permission \`${access.permission}\`.`;
  if ("right" in access) {
    return `Requires the level \`admin\`, or a token with the group \`${RIGHTS[access.right]}\`.`;
  }
  return `Requires the level \`${access.level}\` or above.`;
}

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
