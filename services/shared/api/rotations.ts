import { type Static, Type } from "typebox";
import { Recipe } from "../broker/recipe.ts";
import { By } from "../receipts/receipt.ts";
import { Name, WorkId } from "../work/messages.ts";
import { Next } from "./pages.ts";
import { Time } from "./time.ts";
import { Failure } from "./uses.ts";

const closed = { additionalProperties: false };

/** Seconds between two rotations: two weeks unless given. */
export const EverySeconds = Type.Integer({ minimum: 3600, maximum: 366 * 24 * 3600 });
/** How long the old key stays valid beside the new one: an hour unless given. */
const GraceSeconds = Type.Integer({ minimum: 0, maximum: 30 * 24 * 3600 });
export const ROTATION_DEFAULTS = { everySeconds: 14 * 24 * 3600, graceSeconds: 3600 } as const;

const given = {
  everySeconds: Type.Optional(EverySeconds),
  graceSeconds: Type.Optional(GraceSeconds),
  enabled: Type.Optional(Type.Boolean({ description: "Whether it runs by itself; `true` unless given" })),
};

/** Body of `PUT /v1/credentials/:name/rotation`. */
export const PutRotation = Type.Object(
  {
    /** Another recipe than the policy's makes a new version of the credential. */
    recipe: Type.Optional(Recipe),
    ...given,
  },
  closed,
);
export type PutRotation = Static<typeof PutRotation>;

/**
 * How far a run has come. `revoke` stands also at its beginning, if an earlier run has left keys at the provider;
 * `grace`: the new value is in use, and the old key still works.
 */
const RUN_PHASES = ["make", "apply", "check", "grace", "revoke", "ended"] as const;

/** One rotation of a credential. */
export const RotationRun = Type.Object(
  {
    id: WorkId,
    credential: Name,
    state: Type.Enum(["running", "succeeded", "failed"]),
    phase: Type.Enum([...RUN_PHASES]),
    by: By,
    /** The version that is replaced, and the new one once it is in use. */
    fromVersion: Type.Integer({ minimum: 1 }),
    toVersion: Type.Optional(Type.Integer({ minimum: 1 })),
    /**
     * What became of the old key: it works until the grace ends, is revoked, or stopped working at the change. `kept`:
     * it could not be revoked; `unknown`: neither the recipe nor the provider told its id.
     */
    oldKey: Type.Optional(Type.Enum(["in_grace", "revoked", "replaced", "kept", "unknown"])),
    graceUntil: Type.Optional(Time),
    failure: Type.Optional(Failure),
    /** What has been done, the last 40. */
    steps: Type.Array(
      Type.Object({ phase: Type.Enum([...RUN_PHASES]), at: Time, failure: Type.Optional(Failure) }, closed),
    ),
    startedAt: Time,
    /** When the phase is tried again. */
    nextAt: Type.Optional(Time),
    endedAt: Type.Optional(Time),
  },
  closed,
);
export type RotationRun = Static<typeof RotationRun>;

/** The rotation of a credential. */
export const Rotation = Type.Object(
  {
    credential: Name,
    recipe: Recipe,
    everySeconds: EverySeconds,
    graceSeconds: GraceSeconds,
    enabled: Type.Boolean(),
    version: Type.Integer({ minimum: 1 }),
    /** When it runs by itself; absent while it is not enabled. */
    nextAt: Type.Optional(Time),
    /** The run that is under way. */
    run: Type.Optional(RotationRun),
    /** Keys at the provider that the next run revokes, because an earlier one could not. */
    keysLeft: Type.Integer({ minimum: 0 }),
    /** Why the last slot began no run. */
    lastError: Type.Optional(Type.String()),
    createdAt: Time,
    updatedAt: Time,
  },
  closed,
);
export type Rotation = Static<typeof Rotation>;

/** `GET /v1/credentials/:name/rotation/runs`: the newest first; the last 50 are kept. */
export const RotationRunPage = Type.Object({ runs: Type.Array(RotationRun), next: Next }, closed);
export type RotationRunPage = Static<typeof RotationRunPage>;
