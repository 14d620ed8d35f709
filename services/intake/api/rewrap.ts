import { Type } from "typebox";
import { Rewrap } from "../../shared/api/uses.ts";
import { problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";
import { Name } from "../../shared/work/messages.ts";
import { callerOf } from "../http/caller.ts";
import { Preference, preferredEnd } from "../http/prefer-wait.ts";
import { asRewrap, submitRewrap } from "../rewrap/rewrap.ts";
import type { UseParts } from "../uses/submit.ts";

const Params = Type.Object({ name: Name }, { additionalProperties: false });

/** Sealing a credential anew after the key provider's key was rotated. */
export function rewrapRoutes(app: Server, parts: UseParts): void {
  const closing = new AbortController();
  app.addHook("preClose", async () => closing.abort());

  app.post(
    "/v1/credentials/:name/rewrap",
    {
      config: { access: { level: "admin" } },
      schema: {
        summary: "Have a worker seal a credential anew, by the key provider's current key",
        description:
          "The value, its version and its destination stay the same. A value that the client sealed is an envelope " +
          "from then on, and needs its sealing key no more; `sealedBy` stays `client`. The new envelope replaces the " +
          "old one only if that is still the one that was there at the request: otherwise the job fails, and nothing " +
          "is changed. The job is at `GET /v1/jobs/{id}`, with `type` `rewrap`; the list of jobs does not have it",
        params: Params,
        headers: Type.Object({ prefer: Preference }),
        response: {
          200: Rewrap,
          202: { ...Rewrap, headers: { Location: Type.String({ description: "URL path of the job" }) } },
          ...problems(400, 401, 403, 404, 409, 429, 503),
        },
      },
    },
    async (request, reply) => {
      const job = await submitRewrap(parts, callerOf(request).org, request.params.name);
      const waiting = { response: reply.raw, closing: closing.signal };
      const ended = await preferredEnd(parts, job, request.headers.prefer, waiting);
      return reply
        .header("Location", `/v1/jobs/${job.id}`)
        .code(ended ? 200 : 202)
        .send(asRewrap(ended ?? job));
    },
  );
}
