import { type Static, Type } from "typebox";
import { Name, WorkId } from "../work/messages.ts";
import { Next } from "./pages.ts";
import { Time } from "./time.ts";
import { UseRequest } from "./uses.ts";

const closed = { additionalProperties: false };

/** When a schedule is due. */
export const Timing = Type.Union([
  Type.Object(
    {
      cron: Type.String({ maxLength: 100, description: "Five fields: minute hour day month weekday" }),
      timeZone: Type.Optional(
        Type.String({ maxLength: 64, description: "IANA time zone such as Europe/Vienna; UTC by default" }),
      ),
    },
    closed,
  ),
  Type.Object({ everySeconds: Type.Integer({ minimum: 60, maximum: 31_536_000 }) }, closed),
]);
export type Timing = Static<typeof Timing>;

const body = {
  when: Timing,
  credential: Name,
  /** It is kept in clear and shown: put nothing secret into it. */
  request: UseRequest,
  disabled: Type.Optional(Type.Boolean()),
};

/** Body of `PUT /v1/schedules/:name`. */
export const PutSchedule = Type.Object(body, closed);
export type PutSchedule = Static<typeof PutSchedule>;

/** A schedule. */
export const Schedule = Type.Object(
  {
    name: Name,
    ...body,
    disabled: Type.Boolean(),
    version: Type.Integer(),
    /** Absent while it is disabled. */
    nextAt: Type.Optional(Time),
    lastJob: Type.Optional(WorkId),
    lastAt: Type.Optional(Time),
    /** Why the last slot made no job. */
    lastError: Type.Optional(Type.String()),
    createdAt: Time,
    updatedAt: Time,
  },
  closed,
);
export type Schedule = Static<typeof Schedule>;

/** One page of `GET /v1/schedules`, ordered by name. */
export const SchedulePage = Type.Object({ schedules: Type.Array(Schedule), next: Next }, closed);
export type SchedulePage = Static<typeof SchedulePage>;
