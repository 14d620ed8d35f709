import { type Static, Type } from "typebox";
import { BrokerPolicy } from "../broker/policy.ts";
import { LEVELS } from "../org.ts";
import { METHODS } from "../work/destination.ts";
import { Time } from "./time.ts";

const closed = { additionalProperties: false };
const { rules, concurrency } = BrokerPolicy.properties;

/** `GET` and the body of `PUT /v1/credentials/:name/rules`: who may send what with a credential. */
export const CredentialRules = Type.Object({ rules, concurrency }, closed);
export type CredentialRules = Static<typeof CredentialRules>;

/** Body of `POST /v1/credentials/:name/rules/check`: a request that is not sent. */
export const CheckRules = Type.Object(
  {
    method: Type.Enum([...METHODS]),
    path: Type.String({ pattern: "^/", maxLength: 4096, description: "Path and query at the destination" }),
    contentType: Type.Optional(
      Type.String({ maxLength: 200, description: "Of the request's body; without it there is no body" }),
    ),
    at: Type.Optional(Type.Unsafe<string>({ ...Time, description: "At this time instead of now" })),
    as: Type.Optional(
      Type.Object(
        {
          level: Type.Enum([...LEVELS]),
          groups: Type.Optional(Type.Array(Type.String({ maxLength: 256 }), { maxItems: 64 })),
          subject: Type.Optional(Type.String({ maxLength: 512 })),
        },
        { ...closed, description: "Another caller than this one; for admins only" },
      ),
    ),
  },
  closed,
);
export type CheckRules = Static<typeof CheckRules>;

/** What the rules say of a request. Rates are not part of it. */
export const CheckedRules = Type.Union([
  Type.Object(
    {
      allowed: Type.Literal(true),
      /** The rule's id, and which of its path patterns the path matches. */
      rule: Type.String(),
      pattern: Type.String(),
    },
    closed,
  ),
  Type.Object(
    {
      allowed: Type.Literal(false),
      /** The part at which the rule that allows most of it fails; `who` if no rule is for this caller. */
      part: Type.Enum(["who", "path", "method", "query", "content_type", "hours"]),
      message: Type.String(),
    },
    closed,
  ),
]);
export type CheckedRules = Static<typeof CheckedRules>;
