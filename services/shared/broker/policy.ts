import { hash } from "node:crypto";
import { type Static, Type } from "typebox";
import { canonicalJson } from "../canonical-json.ts";
import { Grant, tokenEndpoint } from "./grant.ts";
import { Injection } from "./inject.ts";
import { providerOf, Recipe } from "./recipe.ts";
import { Rule } from "./rules.ts";

/**
 * What the broker may do with a credential: where to, how, and for whom. Its hash is sealed with the value, so the broker
 * opens a value only with the policy that it was sealed for.
 */
export const BrokerPolicy = Type.Object(
  {
    origin: Type.String({ maxLength: 300, description: "`https://host` or `https://host:port`, lower case" }),
    inject: Injection,
    rules: Type.Array(Rule, { maxItems: 64, description: "What is allowed; nothing without a rule" }),
    /** Requests at once, for all callers together. */
    concurrency: Type.Optional(Type.Integer({ minimum: 1, maximum: 256, description: "Requests at once" })),
    grant: Type.Optional(Grant),
    rotation: Type.Optional(Recipe),
  },
  { additionalProperties: false },
);
export type BrokerPolicy = Static<typeof BrokerPolicy>;

/** SHA-256 of the policy as canonical JSON, base64url: the member `policy` of the encryption context. The order of rules counts. */
export const brokerPolicyHash = (policy: BrokerPolicy): string =>
  hash("sha256", canonicalJson(policy), "base64url");

/**
 * All places to which a policy lets a value, or a key made from it, be sent. A policy is changed without the value only if
 * this does not grow.
 */
export function destinationsOf(policy: BrokerPolicy): string[] {
  const { origin, grant, rotation } = policy;
  return [
    origin,
    ...(grant ? [new URL(tokenEndpoint(grant)).origin] : []),
    ...(grant?.type === "refresh_token" && grant.revocation ? [new URL(grant.revocation).origin] : []),
    ...(rotation ? [providerOf(rotation, policy)] : []),
  ];
}
