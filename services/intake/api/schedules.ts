import { Type } from "typebox";
import { PageQuery } from "../../shared/api/pages.ts";
import { PutSchedule, Schedule, SchedulePage } from "../../shared/api/schedules.ts";
import { problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";
import { Name } from "../../shared/work/messages.ts";
import { callerOf } from "../http/caller.ts";
import { ConditionHeaders, etag, TaggedHeaders } from "../http/conditions.ts";
import { readPage } from "../http/paging.ts";
import { type ScheduleRecord, schedulesPartition } from "../schedules/records.ts";
import { asSchedule, deleteSchedule, putSchedule, readSchedule } from "../schedules/schedules.ts";
import type { UseParts } from "../uses/submit.ts";

const MOST_BODY_BYTES = 320 * 1024;
const Params = Type.Object({ name: Name }, { additionalProperties: false });
const Tagged = { ...Schedule, headers: TaggedHeaders };

/** Schedules: put, get, list, delete. */
export function scheduleRoutes(app: Server, parts: UseParts): void {
  app.put(
    "/v1/schedules/:name",
    {
      config: { access: { level: "writer" } },
      bodyLimit: MOST_BODY_BYTES,
      schema: {
        summary: "Create or replace a schedule that uses a credential",
        description:
          "Each slot makes one job. Slots that were missed make one job together. The request is kept in clear and shown",
        params: Params,
        headers: ConditionHeaders,
        body: PutSchedule,
        response: {
          200: Tagged,
          201: Tagged,
          ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 503),
        },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const { schedule, isNew } = await putSchedule(
        parts,
        callerOf(request),
        name,
        request.body,
        request.headers,
      );
      return reply
        .code(isNew ? 201 : 200)
        .header("ETag", etag(schedule.version))
        .send(asSchedule(schedule));
    },
  );

  app.get(
    "/v1/schedules",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "List schedules, ordered by name",
        querystring: PageQuery,
        response: { 200: SchedulePage, ...problems(400, 401, 403, 429, 503) },
      },
    },
    async (request) => {
      const partition = schedulesPartition(callerOf(request).org);
      const { items, next } = await readPage<ScheduleRecord>(parts.intake.store, partition, request.query);
      return { schedules: items.map(({ body }) => asSchedule(body)), ...(next !== undefined && { next }) };
    },
  );

  app.get(
    "/v1/schedules/:name",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "Get a schedule",
        params: Params,
        response: { 200: Tagged, ...problems(400, 401, 403, 404, 429, 503) },
      },
    },
    async (request, reply) => {
      const { body } = await readSchedule(parts, callerOf(request).org, request.params.name);
      return reply.header("ETag", etag(body.version)).send(asSchedule(body));
    },
  );

  app.delete(
    "/v1/schedules/:name",
    {
      config: { access: { level: "writer" } },
      schema: {
        summary: "Delete a schedule; the jobs that it has made go on",
        params: Params,
        headers: ConditionHeaders,
        response: { 204: Type.Null(), ...problems(400, 401, 403, 404, 409, 412, 429, 503) },
      },
    },
    async (request, reply) => {
      await deleteSchedule(parts, callerOf(request).org, request.params.name, request.headers);
      return reply.code(204).send(null);
    },
  );
}
