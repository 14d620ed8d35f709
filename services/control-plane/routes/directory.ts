import { Type } from "typebox";
import { StrongroomError } from "../../shared/errors.ts";
import type { Server } from "../../shared/http/server.ts";
import type { DirectoryPublisher } from "../directory.ts";
import { problems } from "../openapi.ts";

/** The signed directory that gateways poll. */
export function directoryRoutes(app: Server, directory: DirectoryPublisher): void {
  app.get(
    "/v1/directory",
    {
      config: { access: { open: "it is signed, holds no secret, and gateways hold no credential" } },
      schema: {
        summary: "The directory, a compact JWS",
        headers: Type.Object({ "if-none-match": Type.Optional(Type.String({ maxLength: 1024 })) }),
        response: {
          200: { description: "The JWS", content: { "application/jose": { schema: Type.String() } } },
          304: Type.Null({ description: "Not changed since" }),
          ...problems(400, 503),
        },
      },
    },
    async (request, reply) => {
      const current = directory.current();
      if (!current)
        throw new StrongroomError("directory_unavailable", "No directory has been published yet.");
      const etag = `"${current.version}"`;
      reply.header("ETag", etag).header("Cache-Control", "no-cache");
      const known = request.headers["if-none-match"]?.split(",").map((each) => each.trim());
      if (known?.includes(etag)) return reply.code(304).send(null);
      return reply.type("application/jose").serializer(String).send(current.jws);
    },
  );
}
