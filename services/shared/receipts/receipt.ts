import { hash } from "node:crypto";
import { type Static, Type } from "typebox";
import { Time } from "../api/time.ts";
import { canonicalJson } from "../canonical-json.ts";
import { LEVELS } from "../org.ts";

const closed = { additionalProperties: false };
/** A hash of the chain. */
export const Digest = Type.String({ pattern: "^[A-Za-z0-9_-]{43}$", description: "SHA-256, base64url" });
const Sequence = Type.Integer({ minimum: 1 });
const Count = Type.Integer({ minimum: 0 });

/** What a receipt is for. `use`: a request by the broker; the others have names of their own. */
const ACTIONS = ["use", "token", "connect", "rotate", "revoke", "change-rules", "store-key"] as const;
export type Action = (typeof ACTIONS)[number];

/** Who caused it: a member by their token, or what the organization has scheduled. */
export const By = Type.Union([
  Type.Object(
    {
      issuer: Type.String(),
      subject: Type.String(),
      /** Absent for a token that has only rights. */
      level: Type.Optional(Type.Enum([...LEVELS])),
    },
    closed,
  ),
  Type.Object({ schedule: Type.String() }, closed),
]);
export type By = Static<typeof By>;

const intent = {
  /** The request's or the job's id. */
  id: Type.String({ maxLength: 64 }),
  action: Type.Enum([...ACTIONS]),
  by: By,
  credential: Type.String({ maxLength: 100 }),
  version: Sequence,
  host: Type.String({ maxLength: 300 }),
  method: Type.Optional(Type.String({ maxLength: 16 })),
  pathPattern: Type.Optional(
    Type.String({ maxLength: 1024, description: "Of the rule, not the path itself" }),
  ),
  rule: Type.Optional(Type.String({ maxLength: 64 })),
  /** Of the request's body, if it was known before it was sent. */
  bodyDigest: Type.Optional(Digest),
  /** The credential stands in the request's URL. */
  inUrl: Type.Optional(Type.Literal(true)),
  scopes: Type.Optional(Type.Array(Type.String({ maxLength: 200 }), { maxItems: 64 })),
  /** Of `store-key`: why a key is stored though its provider offers delegation. */
  reason: Type.Optional(Type.String({ minLength: 1, maxLength: 500 })),
};

/** What is about to be done: durable before anything is sent. */
export const Intent = Type.Object(intent, closed);
export type Intent = Static<typeof Intent>;

/** What came of it. */
export const Completion = Type.Object(
  {
    /** `unknown`: it was sent, and whether it was answered cannot be told. */
    outcome: Type.Enum(["answered", "not_sent", "failed", "blocked", "cancelled", "unknown"]),
    failure: Type.Optional(Type.String({ maxLength: 64 })),
    status: Type.Optional(Type.Integer({ minimum: 100, maximum: 599 })),
    sentBytes: Count,
    receivedBytes: Count,
    ms: Count,
    /** How often the credential was removed from the answer. */
    scrubbed: Count,
    /** Of the request's body as it was sent. */
    bodyDigest: Type.Optional(Digest),
  },
  closed,
);
export type Completion = Static<typeof Completion>;

/** An entry of an organization's chain. */
export const Entry = Type.Union([
  Type.Object({ type: Type.Literal("intent"), sequence: Sequence, at: Time, ...intent }, closed),
  Type.Object(
    {
      ...{ type: Type.Literal("completion"), sequence: Sequence, at: Time },
      /** The sequence and the id of the intent. */
      ...{ of: Sequence, id: Type.String({ maxLength: 64 }) },
      ...Completion.properties,
    },
    closed,
  ),
]);
export type Entry = Static<typeof Entry>;
export type IntentEntry = Extract<Entry, { type: "intent" }>;

/** An entry with the hash that chains it to the one before. */
export const Receipt = Type.Object({ entry: Entry, hash: Digest }, closed);
export type Receipt = Static<typeof Receipt>;

/** What the internal Vault signs at intervals: where a chain stood. The payload of a JWS (ES256). */
export const Checkpoint = Type.Object(
  { org: Type.String(), sequence: Sequence, hash: Digest, at: Time },
  closed,
);
export type Checkpoint = Static<typeof Checkpoint>;
/** The JWS header's `typ`, so that no other signature of the platform passes for one. */
export const CHECKPOINT_TYPE = "strongroom-receipts+jwt";

/** What the first entry of an organization's chain is chained to. */
export const chainStart = (org: string): string => hash("sha256", `strongroom receipts ${org}`, "base64url");

/** The hash of an entry: SHA-256 of the hash before it, a line break, and the entry as canonical JSON; base64url. */
export const chainHash = (previous: string, entry: Entry): string =>
  hash("sha256", `${previous}\n${canonicalJson(entry)}`, "base64url");
