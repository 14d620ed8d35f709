import { Type } from "typebox";
import { problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";
import { METHODS } from "../../shared/work/destination.ts";
import { type BrokerUseParts, useCredential } from "../broker/use.ts";
import { useMemberOf } from "../http/caller.ts";

/** Requests to destinations by the broker, with credentials that the caller never sees. */
export function brokerUseRoutes(app: Server, parts: BrokerUseParts): void {
  // Bodies are not read here, but streamed, whatever they say that they are.
  app.register(async (routes: Server) => {
    routes.removeAllContentTypeParsers();
    routes.addContentTypeParser("*", (_request, _payload, done) => done(null));
    routes.route({
      method: [...METHODS],
      url: "/v1/use/:credential/*",
      config: { access: { level: "reader" }, isStreamed: true },
      schema: {
        summary: "Send a request to a credential's destination",
        description:
          "The path and the query after the credential's name go to its destination as they are, with the caller's " +
          "headers and body; the broker adds the credential. The rules of the credential say who may send what. The " +
          "header `Strongroom-Answer` says whose the answer is: `destination`, or `platform` for a problem document of " +
          "Strongroom's. `Strongroom-Receipt` is the id of the receipt. An answer that cannot be passed on to its end " +
          "ends with the connection",
        response: {
          default: {
            description: "What the destination answered",
            content: { "*/*": { schema: Type.Any() } },
          },
          ...problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 502, 503, 504),
        },
      },
      handler: async (request, reply) => {
        await useCredential(parts, useMemberOf(request), request, reply);
        return reply;
      },
    });
  });
}
