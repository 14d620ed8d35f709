import { type Static, Type } from "typebox";
import { ERROR_CODES } from "../errors.ts";
import { OrgId } from "../org.ts";
import { Time } from "./time.ts";

export const JobId = Type.String({ pattern: "^j[a-z2-7]{15}$", description: "A job's id" });

export const StepState = Type.Enum(["pending", "running", "done", "failed", "undone"]);
export const JobState = Type.Enum(["running", "undoing", "succeeded", "failed"]);

/** A job on an organization, in the API's form. */
export const Job = Type.Object(
  {
    id: JobId,
    kind: Type.Enum(["create", "delete"]),
    org: OrgId,
    state: JobState,
    steps: Type.Array(
      Type.Object(
        {
          name: Type.String(),
          state: StepState,
          startedAt: Type.Optional(Time),
          endedAt: Type.Optional(Time),
        },
        { additionalProperties: false },
      ),
    ),
    error: Type.Optional(
      Type.Object(
        { code: Type.Enum(ERROR_CODES), step: Type.String(), detail: Type.String(), retry: Type.Boolean() },
        { additionalProperties: false },
      ),
    ),
    createdAt: Time,
    endedAt: Type.Optional(Time),
  },
  { additionalProperties: false },
);
export type Job = Static<typeof Job>;

/** One change of a job, numbered from 1: of a step if `step` is present, otherwise of the job itself. */
export const JobEvent = Type.Object(
  {
    sequence: Type.Integer({ minimum: 1 }),
    at: Time,
    step: Type.Optional(Type.String()),
    state: Type.Union([StepState, JobState]),
  },
  { additionalProperties: false },
);
export type JobEvent = Static<typeof JobEvent>;
