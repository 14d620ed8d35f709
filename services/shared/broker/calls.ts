import { type Static, Type } from "typebox";
import { OrgId } from "../org.ts";
import { Digest, Receipt } from "../receipts/receipt.ts";
import { METHODS } from "../work/destination.ts";
import { Material, Name } from "../work/messages.ts";
import { BrokerPolicy } from "./policy.ts";

const closed = { additionalProperties: false };

/** What every call from the intake to the broker has: whose request it is, by the caller's own JWT. */
export const ForCaller = {
  /** The request's id at the intake, also the receipt's. */
  id: Type.String({ pattern: "^[0-9a-f-]{36}$" }),
  /** The caller's JWT, which the broker verifies itself. */
  token: Type.String({ minLength: 1, maxLength: 16_384 }),
  org: OrgId,
};

/** A credential as the intake has it: the broker can open it, and keeps nothing. */
export const SealedCredential = Type.Object(
  {
    ...{ name: Name, version: Type.Integer({ minimum: 1 }), policy: BrokerPolicy, material: Material },
    /** The version that a member has put, if its provider has replaced it since: tokens of all of these are good. */
    since: Type.Optional(Type.Integer({ minimum: 1 })),
  },
  closed,
);
export type SealedCredential = Static<typeof SealedCredential>;

/**
 * The first frame of `POST /use`. The broker verifies the caller, finds the rule, opens the credential and connects; it
 * sends nothing before the frame `go`.
 */
export const UseCall = Type.Object(
  {
    ...ForCaller,
    credential: SealedCredential,
    request: Type.Object(
      {
        method: Type.Enum([...METHODS]),
        path: Type.String({ pattern: "^/", maxLength: 4096, description: "Path and query" }),
        /** As the caller sent them, in order, without those that are refused. */
        headers: Type.Array(Type.Tuple([Type.String({ maxLength: 64 }), Type.String({ maxLength: 8192 })]), {
          maxItems: 100,
        }),
        /** Whether data frames follow, and how many bytes if that is known. */
        body: Type.Union([
          Type.Literal("none"),
          Type.Literal("chunked"),
          Type.Object({ bytes: Type.Integer({ minimum: 0 }) }, closed),
        ]),
      },
      closed,
    ),
  },
  closed,
);
export type UseCall = Static<typeof UseCall>;

/** The second frame: the receipt's intent is durable. The broker compares it with the call. */
export const Go = Type.Object({ receipt: Receipt }, closed);
export type Go = Static<typeof Go>;

/** Why the broker did not answer a call, or did not end its answer. */
const CALL_FAILURES = [
  "malformed", // the call is none
  "unauthenticated", // the broker does not accept the token
  "forbidden", // the token is not of this organization
  "not_allowed", // no rule allows it; `part` says which part
  "rate_limited", // the rule's rate, or requests at once; nothing was sent
  "receipt_mismatch", // the receipt does not describe the call
  "not_openable", // the value was not sealed for this
  "key_unavailable", // the key provider does not answer
  "unusable_value", // the value does not fit the policy's `inject` or `grant`
  "token_needed", // the access token must be obtained first
  "destination_refused", // its address is not public
  "unreachable", // no connection, or it broke before an answer
  "circuit_open", // it has failed too often; nothing was sent
  "timeout", // it did not answer in time
  "answer_unusable", // not HTTP, encoded though asked not to, another protocol, too large
  "response_blocked", // the credential appeared and could not be removed
  "callback_refused", // the authorization response is not that of this flow; `part` says which part
  "provider_refused", // the token's provider refused; `status` says how
  "cancelled", // the caller is gone
  "internal",
] as const;
export type CallFailure = (typeof CALL_FAILURES)[number];

/** The frame by which the broker ends a call that failed. */
export const CallFailed = Type.Object(
  {
    failure: Type.Enum([...CALL_FAILURES]),
    /** For the caller; contains no secret, and nothing of the rules of others. */
    detail: Type.String({ maxLength: 1000 }),
    /** Whether any byte of the request was sent to the destination. */
    isSent: Type.Boolean(),
    part: Type.Optional(Type.String({ maxLength: 32 })),
    retryAfterSeconds: Type.Optional(Type.Integer({ minimum: 1 })),
    status: Type.Optional(Type.Integer()),
  },
  closed,
);
export type CallFailed = Static<typeof CallFailed>;

/** The first frame of an answer: what the destination answered, without what must not be passed on. */
export const AnswerHead = Type.Object(
  {
    status: Type.Integer({ minimum: 200, maximum: 599 }),
    headers: Type.Array(Type.Tuple([Type.String({ maxLength: 256 }), Type.String({ maxLength: 16_384 })]), {
      maxItems: 100,
    }),
  },
  closed,
);
export type AnswerHead = Static<typeof AnswerHead>;

const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

/** The last frame of an answer that is whole. Its members go into the receipt as they are. */
export const AnswerEnd = Type.Object(
  {
    ...{ sentBytes: Count, receivedBytes: Count, scrubbed: Count },
    bodyDigest: Type.Optional(Digest),
  },
  closed,
);
export type AnswerEnd = Static<typeof AnswerEnd>;
