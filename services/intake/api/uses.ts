import { Readable } from "node:stream";
import { Type } from "typebox";
import { CreateUse, Rewrap, Use, UseEvent, UsePage, UseQuery, UseWithResult } from "../../shared/api/uses.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { eventStream, problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";
import { WorkId } from "../../shared/work/messages.ts";
import { callerOf } from "../http/caller.ts";
import { Preference, preferredEnd } from "../http/prefer-wait.ts";
import { followJob } from "../jobs/follow.ts";
import type { JobRecord, UseWork } from "../jobs/records.ts";
import { OpenStreams } from "../jobs/streams.ts";
import { asRewrap } from "../rewrap/rewrap.ts";
import { listUses } from "../uses/list.ts";
import { isRewrap, readJob, redriveUse, useResult } from "../uses/read.ts";
import { submitUse, type UseParts } from "../uses/submit.ts";
import { asUse } from "../uses/view.ts";

const MOST_BODY_BYTES = 320 * 1024;
const Params = Type.Object({ id: WorkId }, { additionalProperties: false });
const Located = { headers: { Location: Type.String({ description: "URL path of the job" }) } };

/** Jobs that use a credential: submit, list, get, follow, redrive. */
export function useRoutes(app: Server, parts: UseParts): void {
  const closing = new AbortController();
  const streams = new OpenStreams();
  app.addHook("preClose", async () => closing.abort());
  const located = (job: JobRecord<UseWork>) => `/v1/jobs/${job.id}`;
  const withResult = async (job: JobRecord<UseWork>, callerLevel: Parameters<typeof useResult>[2]) => {
    const result = await useResult(parts, job, callerLevel);
    return { ...asUse(job), ...(result && { result }) };
  };

  app.post(
    "/v1/jobs",
    {
      config: { access: { level: "reader" } },
      bodyLimit: MOST_BODY_BYTES,
      schema: {
        summary: "Use a credential for one request",
        description:
          "The credential's own level says who may. A worker sends the request at least once, with the job's ID as " +
          "`Idempotency-Key`",
        headers: Type.Object({
          "idempotency-key": Type.Optional(
            Type.String({
              pattern: "^[\\x20-\\x7e]{1,200}$",
              description: "The same request with the same key returns the same job, for a day",
            }),
          ),
          prefer: Preference,
        }),
        body: CreateUse,
        response: {
          200: UseWithResult,
          202: { ...Use, ...Located },
          ...problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
        },
      },
    },
    async (request, reply) => {
      const { org, level, subject } = callerOf(request);
      const { "idempotency-key": key, prefer } = request.headers;
      const submitted = await submitUse(parts, {
        ...{ org, level, use: request.body },
        ...(key !== undefined && { once: { subject, key } }),
      });
      if (!submitted) throw new StrongroomError("conflict", "The job could not be recorded. Try again.");
      const ended = await preferredEnd(parts, submitted, prefer, {
        response: reply.raw,
        closing: closing.signal,
      });
      reply.header("Location", located(submitted));
      if (!ended) return reply.code(202).send(asUse(submitted));
      return reply.code(200).send(await withResult(ended, level));
    },
  );

  app.get(
    "/v1/jobs",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "List jobs, newest first",
        querystring: UseQuery,
        response: { 200: UsePage, ...problems(400, 401, 403, 429, 503) },
      },
    },
    async (request) => listUses(parts.intake.store, callerOf(request).org, request.query),
  );

  app.get(
    "/v1/jobs/:id",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "Get a job with its result",
        description:
          "Only the credential's level and above may. When the result is no longer kept it is `result_gone`; " +
          "`result=omit` gets the job without its result. A job that seals a credential anew has `type` `rewrap`",
        params: Params,
        querystring: Type.Object(
          { result: Type.Optional(Type.Enum(["omit"])) },
          { additionalProperties: false },
        ),
        response: {
          200: Type.Union([UseWithResult, Rewrap]),
          ...problems(400, 401, 403, 404, 410, 429, 503),
        },
      },
    },
    async (request) => {
      const { org, level } = callerOf(request);
      const job = (await readJob(parts, org, request.params.id)).body;
      if (isRewrap(job)) return asRewrap(job);
      return request.query.result === "omit" ? asUse(job) : withResult(job, level);
    },
  );

  app.get(
    "/v1/jobs/:id/events",
    {
      config: { access: { level: "reader" } },
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
        response: { 200: eventStream(UseEvent), ...problems(400, 401, 403, 404, 429, 503) },
      },
    },
    async (request, reply) => {
      const { org } = callerOf(request);
      const { body: job } = await readJob(parts, org, request.params.id);
      const gone = new AbortController();
      const release = streams.admit(org);
      const end = () => {
        release();
        gone.abort();
      };
      if (reply.raw.destroyed) end();
      else reply.raw.once("close", end);
      const events = followJob(parts, job, {
        after: Number(request.headers["last-event-id"] ?? 0),
        signal: AbortSignal.any([gone.signal, closing.signal]),
      });
      return reply.type("text/event-stream").send(Readable.from(events));
    },
  );

  app.post(
    "/v1/jobs/:id/redrive",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "Try a failed job again",
        description: "Under the same ID, which the destination gets as `Idempotency-Key`",
        params: Params,
        response: { 202: { ...Use, ...Located }, ...problems(400, 401, 403, 404, 409, 410, 429, 503) },
      },
    },
    async (request, reply) => {
      const { org, level } = callerOf(request);
      const job = await redriveUse(parts, org, level, request.params.id);
      return reply.code(202).header("Location", located(job)).send(asUse(job));
    },
  );
}
