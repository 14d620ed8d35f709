import type { FastifyReply } from "fastify";
import { Type } from "typebox";
import { problems } from "../../shared/http/openapi.ts";

/** The schema of a route that serves gateways a signed document, polled by its version as ETag. */
export const signedDocument = (summary: string) => ({
  summary,
  headers: Type.Object({ "if-none-match": Type.Optional(Type.String({ maxLength: 1024 })) }),
  response: {
    200: { description: "The JWS", content: { "application/jose": { schema: Type.String() } } },
    304: Type.Null({ description: "Not modified" }),
    ...problems(400, 503),
  },
});

/** Sends the document, or 304 if the caller's `If-None-Match` names its version. */
export function sendSigned(
  reply: FastifyReply,
  ifNoneMatch: string | undefined,
  { version, jws }: { version: number; jws: string },
): FastifyReply {
  const etag = `"${version}"`;
  reply.header("ETag", etag).header("Cache-Control", "no-cache");
  const known = ifNoneMatch?.split(",").map((each) => each.trim());
  if (known?.includes(etag)) return reply.code(304).send(null);
  return reply.type("application/jose").serializer(String).send(jws);
}
