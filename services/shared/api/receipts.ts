import { type Static, Type } from "typebox";
import { ChainPosition } from "../receipts/export.ts";
import { Receipt } from "../receipts/receipt.ts";
import { Name } from "../work/messages.ts";
import { Time } from "./time.ts";

const closed = { additionalProperties: false };
const SequenceText = Type.String({ pattern: "^(0|[1-9][0-9]{0,14})$" });
const Limit = Type.Optional(
  Type.String({ pattern: "^([1-9][0-9]?|100)$", description: "1 to 100; 50 by default" }),
);

/** The query of `GET /v1/receipts`. */
export const ReceiptsQuery = Type.Object(
  {
    limit: Limit,
    after: Type.Optional({
      ...SequenceText,
      description: "Only later entries than this one, the oldest first",
    }),
    before: Type.Optional({
      ...SequenceText,
      description: "Only earlier entries than this one, the newest first",
    }),
    credential: Type.Optional({
      ...Name,
      description: "Only intents to use this credential, and their completions",
    }),
    id: Type.Optional(
      Type.String({ minLength: 1, maxLength: 64, description: "Only this request's or job's" }),
    ),
  },
  closed,
);
export type ReceiptsQuery = Static<typeof ReceiptsQuery>;

/** The newest checkpoint of a chain, and whether signing works. */
const Signed = Type.Object(
  {
    sequence: Type.Integer(),
    at: Time,
    ageSeconds: Type.Integer({ description: "How long ago it was signed" }),
  },
  closed,
);

/** One page of receipts. A page may have fewer than asked for, or none, and a next one all the same. */
export const ReceiptPage = Type.Object(
  {
    receipts: Type.Array(Receipt),
    head: ChainPosition,
    /** Entries after it are not signed yet. */
    checkpoint: Type.Optional(Signed),
    next: Type.Optional(
      Type.String({
        description: "Pass as `after` or `before`, whichever this page was asked with (`before` if neither)",
      }),
    ),
  },
  closed,
);
export type ReceiptPage = Static<typeof ReceiptPage>;

/** The query of `GET /v1/receipts/checkpoints`. */
export const CheckpointsQuery = Type.Object(
  {
    limit: Limit,
    before: Type.Optional({
      ...SequenceText,
      description: "Only earlier checkpoints than the one at this entry",
    }),
  },
  closed,
);
export type CheckpointsQuery = Static<typeof CheckpointsQuery>;

/** One page of checkpoints, the newest first. */
export const CheckpointPage = Type.Object(
  {
    checkpoints: Type.Array(
      Type.Object({ sequence: Type.Integer(), at: Time, jws: Type.String({ description: "ES256" }) }, closed),
    ),
    next: Type.Optional(Type.String({ description: "Pass as `before`" })),
  },
  closed,
);
export type CheckpointPage = Static<typeof CheckpointPage>;

/** The public keys that verify checkpoints: a JWK set. */
export const CheckpointKeySet = Type.Object(
  {
    keys: Type.Array(
      Type.Object(
        {
          ...{ kty: Type.Literal("EC"), crv: Type.Literal("P-256"), x: Type.String(), y: Type.String() },
          ...{ use: Type.Literal("sig"), alg: Type.Literal("ES256"), kid: Type.String() },
        },
        closed,
      ),
    ),
  },
  closed,
);
export type CheckpointKeySet = Static<typeof CheckpointKeySet>;
