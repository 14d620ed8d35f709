import type { FastifyReply } from "fastify";
import { StrongroomError } from "../../shared/errors.ts";
import type { Server } from "../../shared/http/server.ts";
import type { DirectoryPublisher } from "../publish/directory.ts";
import { sendSigned, signedDocument } from "./signed-document.ts";

/** The signed directory that gateways poll. */
export function directoryRoutes(app: Server, directory: DirectoryPublisher): void {
  app.get(
    "/v1/directory",
    {
      config: { access: { open: "it is signed and contains no secret, and gateways have no credentials" } },
      schema: signedDocument("Get the directory, a compact JWS"),
    },
    async (request, reply) => {
      const current = directory.current();
      if (!current)
        throw new StrongroomError("directory_unavailable", "No directory has been published yet.");
      return sendSigned(reply as FastifyReply, request.headers["if-none-match"], current);
    },
  );
}
