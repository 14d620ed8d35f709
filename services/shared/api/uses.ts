import { type Static, Type } from "typebox";
import { METHODS } from "../work/destination.ts";
import { FAILURES, type FailureClass, Name, WorkId } from "../work/messages.ts";
import { UseLevel } from "./credentials.ts";
import { Next, PageQuery } from "./pages.ts";
import { Time } from "./time.ts";

const closed = { additionalProperties: false };

/** The most bytes of a request's body, and of an answer that is kept. */
export const REQUEST_BYTES = 128 * 1024;
export const ANSWER_BYTES = 256 * 1024;

/** A request that a credential is used for. */
export const UseRequest = Type.Object(
  {
    method: Type.Enum([...METHODS]),
    path: Type.String({
      pattern: "^/[\\x21-\\x7e]*$",
      maxLength: 2048,
      description: "The path in canonical percent-encoding, without a query",
    }),
    query: Type.Optional(
      Type.Record(Type.String({ minLength: 1, maxLength: 256 }), Type.String({ maxLength: 2048 }), {
        maxProperties: 64,
      }),
    ),
    headers: Type.Optional(
      Type.Record(
        Type.String({ pattern: "^[A-Za-z][A-Za-z0-9-]{0,63}$" }),
        Type.String({ maxLength: 4096, pattern: "^[\\x20-\\x7e]*$" }),
        // A pattern alone would let every other name pass, and its value unchecked.
        { maxProperties: 32, additionalProperties: false },
      ),
    ),
    body: Type.Optional(
      Type.Union(
        [
          Type.Object({ text: Type.String({ maxLength: REQUEST_BYTES }) }, closed),
          Type.Object(
            { base64: Type.String({ maxLength: 175_000, pattern: "^[A-Za-z0-9+/]*={0,2}$" }) },
            closed,
          ),
        ],
        { description: "At most 128 KiB" },
      ),
    ),
  },
  closed,
);
export type UseRequest = Static<typeof UseRequest>;

/** Body of `POST /v1/jobs`: use a credential for one request. */
export const CreateUse = Type.Object(
  {
    credential: Name,
    request: UseRequest,
    sealResultTo: Type.Optional(
      Type.String({
        pattern: "^[A-Za-z0-9_-]{87}$",
        description:
          "An uncompressed P-256 point, base64url: the answer, then at most 200 KiB, is sealed to it by HPKE",
      }),
    ),
    resultSeconds: Type.Optional(
      Type.Integer({ minimum: 60, maximum: 86_400, description: "How long the result is kept; 3600" }),
    ),
    timeoutSeconds: Type.Optional(
      Type.Integer({ minimum: 5, maximum: 3600, description: "The job must have started by then; 300" }),
    ),
  },
  closed,
);
export type CreateUse = Static<typeof CreateUse>;

export const UseState = Type.Enum(["queued", "succeeded", "failed"]);
export type UseState = Static<typeof UseState>;

export const Failure = Type.Object(
  {
    class: Type.Enum(Object.keys(FAILURES) as FailureClass[]),
    detail: Type.String(),
    /** Whether another attempt (redrive) may succeed. */
    isTransient: Type.Boolean(),
  },
  closed,
);
export type Failure = Static<typeof Failure>;

/** What the destination answered, without the credential. */
export const Answer = Type.Object(
  {
    status: Type.Integer(),
    headers: Type.Array(Type.Tuple([Type.String(), Type.String()])),
    /** `utf8` if the bytes are valid UTF-8, otherwise `base64`. */
    encoding: Type.Enum(["utf8", "base64"]),
    body: Type.String(),
    /** How often the credential was found in the answer and removed. */
    scrubbed: Type.Integer(),
  },
  closed,
);
export type Answer = Static<typeof Answer>;

/** An answer that only the caller's private key opens (envelope/sealing.ts, `openResult`). */
export const SealedAnswer = Type.Object({ enc: Type.String(), ciphertext: Type.String() }, closed);

/** A job that uses a credential. */
export const Use = Type.Object(
  {
    id: WorkId,
    state: UseState,
    credential: Name,
    version: Type.Integer(),
    level: UseLevel,
    method: Type.Enum([...METHODS]),
    path: Type.String(),
    /** The schedule that made it. */
    schedule: Type.Optional(Name),
    /** From 1; a redrive is another attempt. */
    attempt: Type.Integer(),
    failure: Type.Optional(Failure),
    /** The status that the destination answered; absent from a sealed answer. */
    status: Type.Optional(Type.Integer()),
    createdAt: Time,
    endedAt: Type.Optional(Time),
    /** Until when the result is kept. */
    resultUntil: Type.Optional(Time),
  },
  closed,
);
export type Use = Static<typeof Use>;

/** `GET /v1/jobs/:id`: with its result, if it succeeded. */
export const UseWithResult = Type.Object(
  {
    ...Use.properties,
    result: Type.Optional(
      Type.Union([Type.Object({ answer: Answer }, closed), Type.Object({ sealed: SealedAnswer }, closed)]),
    ),
  },
  closed,
);
export type UseWithResult = Static<typeof UseWithResult>;

/** A job that seals a credential anew, by the key provider's current key. It has no result. */
export const Rewrap = Type.Object(
  {
    id: WorkId,
    type: Type.Literal("rewrap"),
    state: UseState,
    credential: Name,
    version: Type.Integer(),
    attempt: Type.Integer(),
    failure: Type.Optional(Failure),
    createdAt: Time,
    endedAt: Type.Optional(Time),
  },
  closed,
);
export type Rewrap = Static<typeof Rewrap>;

/** The query of `GET /v1/jobs`. */
export const UseQuery = Type.Object(
  {
    ...PageQuery.properties,
    state: Type.Optional(UseState),
    credential: Type.Optional(Name),
  },
  closed,
);

/** One page of `GET /v1/jobs`, newest first. A page may be short or empty and still have `next`. */
export const UsePage = Type.Object({ jobs: Type.Array(Use), next: Next }, closed);
export type UsePage = Static<typeof UsePage>;

/** One change of a job, numbered from 1. */
export const UseEvent = Type.Object(
  { sequence: Type.Integer({ minimum: 1 }), at: Time, attempt: Type.Integer(), state: UseState },
  closed,
);
export type UseEvent = Static<typeof UseEvent>;
