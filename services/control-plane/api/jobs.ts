import { Readable } from "node:stream";
import { Type } from "typebox";
import { Job, JobEvent, JobId } from "../../shared/api/jobs.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { eventStream, problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";
import type { Platform } from "../dependencies.ts";
import type { Engine } from "../jobs/engine.ts";
import { followJob } from "../jobs/follow.ts";
import type { JobRecord } from "../registry/records.ts";

const Params = Type.Object({ id: JobId }, { additionalProperties: false });

/** The API's view of a job. */
export function asJob({ request: _, events: __, ...job }: JobRecord): Job {
  return job;
}

/** Jobs: get one, follow one. */
export function jobRoutes(app: Server, { registry }: Platform, engine: Engine): void {
  const closing = new AbortController();
  app.addHook("preClose", async () => closing.abort());

  const jobRecord = async (id: string): Promise<JobRecord> => {
    const found = await registry.jobs.read(id);
    if (!found) throw new StrongroomError("not_found", "There is no such job.");
    return found.value;
  };

  app.get(
    "/v1/jobs/:id",
    {
      config: { access: { permission: "orgs:read" } },
      schema: {
        summary: "Get a job",
        params: Params,
        response: { 200: Job, ...problems(400, 401, 403, 404, 503) },
      },
    },
    async (request) => asJob(await jobRecord(request.params.id)),
  );

  app.get(
    "/v1/jobs/:id/events",
    {
      config: { access: { permission: "orgs:read" } },
      schema: {
        summary: "Follow a job to its end",
        description:
          "Streams one event per change of the job until it ends, and comments as heartbeats in between",
        params: Params,
        headers: Type.Object({
          "last-event-id": Type.Optional(
            Type.String({
              pattern: "^[0-9]{1,6}$",
              description: "Number of the last event already received",
            }),
          ),
        }),
        response: {
          200: eventStream(JobEvent),
          ...problems(400, 401, 403, 404, 503),
        },
      },
    },
    async (request, reply) => {
      const job = await jobRecord(request.params.id);
      const gone = new AbortController();
      reply.raw.once("close", () => gone.abort());
      const events = followJob(job, {
        after: Number(request.headers["last-event-id"] ?? 0),
        watch: engine.watch,
        read: () => jobRecord(job.id),
        signal: AbortSignal.any([gone.signal, closing.signal]),
      });
      return reply.type("text/event-stream").header("Cache-Control", "no-store").send(Readable.from(events));
    },
  );
}
