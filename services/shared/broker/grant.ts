import { type Static, Type } from "typebox";
import { SigningAlgorithm } from "./inject.ts";
import { Who } from "./rules.ts";

const closed = { additionalProperties: false };

/** The longest that a token may live, in seconds, whatever its provider says. */
export const MOST_TOKEN_SECONDS = 12 * 3600;

const Endpoint = Type.String({
  maxLength: 1024,
  pattern: "^https://[^/?#]+/[^?#]*$",
  description: "https URL",
});
const Scopes = Type.Array(Type.String({ pattern: "^[\\x21\\x23-\\x5b\\x5d-\\x7e]{1,200}$" }), {
  maxItems: 64,
  description: "The most that a token may have; a caller may ask for fewer",
});
const Text = Type.String({ minLength: 1, maxLength: 500 });
const common = {
  /** Who may have a token; the value itself nobody has. */
  who: Who,
  lifetimeSeconds: Type.Integer({
    minimum: 60,
    maximum: MOST_TOKEN_SECONDS,
    description: "The longest that a token may live",
  }),
};
const ClientAuth = Type.Enum(["basic", "post", "none"]);

/** How a long-lived credential is turned into a short-lived token. */
export const Grant = Type.Union([
  /** RFC 6749, 4.4. The value is the client's secret. */
  Type.Object(
    {
      type: Type.Literal("client_credentials"),
      ...{ endpoint: Endpoint, clientId: Text, clientAuth: ClientAuth, scopes: Scopes, ...common },
      audience: Type.Optional(Text),
    },
    closed,
  ),
  /** RFC 6749, 6. The value is a {@link RefreshValue} as JSON. */
  Type.Object(
    {
      type: Type.Literal("refresh_token"),
      ...{ endpoint: Endpoint, clientId: Text, clientAuth: ClientAuth, scopes: Scopes, ...common },
      /** RFC 7009. */
      revocation: Type.Optional(Endpoint),
    },
    closed,
  ),
  /** RFC 7523, 2.1. The value is a private key as PEM. */
  Type.Object(
    {
      type: Type.Literal("jwt_bearer"),
      ...{ endpoint: Endpoint, scopes: Scopes, ...common },
      ...{ algorithm: SigningAlgorithm, keyId: Type.Optional(Text), issuer: Text, audience: Text },
      subject: Type.Optional(Text),
    },
    closed,
  ),
  /** A GitHub App's installation token: a JWT as bearer, permissions instead of scopes. The value is a private key as PEM. */
  Type.Object(
    {
      type: Type.Literal("github_app"),
      ...{ endpoint: Endpoint, issuer: Text, ...common },
      permissions: Type.Record(
        Type.String({ pattern: "^[a-z_]{1,64}$" }),
        Type.Enum(["read", "write", "admin"]),
      ),
      repositories: Type.Optional(Type.Array(Text, { minItems: 1, maxItems: 500 })),
    },
    closed,
  ),
  /** RFC 8693. The value is the subject token. */
  Type.Object(
    {
      type: Type.Literal("token_exchange"),
      ...{ endpoint: Endpoint, scopes: Scopes, ...common },
      ...{ subjectTokenType: Text, clientId: Type.Optional(Text) },
      ...{ audience: Type.Optional(Text), resource: Type.Optional(Text) },
    },
    closed,
  ),
  /** AWS STS AssumeRole. The value is an access key as JSON. */
  Type.Object(
    {
      type: Type.Literal("sts_assume_role"),
      ...common,
      region: Type.String({ pattern: "^[a-z0-9-]{1,32}$" }),
      roleArn: Type.String({ pattern: "^arn:aws[a-z-]*:iam::[0-9]{12}:role/.{1,512}$" }),
      sessionPolicy: Type.Optional(
        Type.String({ maxLength: 2048, description: "JSON; the most that a session may do" }),
      ),
    },
    closed,
  ),
]);
export type Grant = Static<typeof Grant>;

/** Where a grant's tokens come from. */
export function tokenEndpoint(grant: Grant): string {
  if (grant.type !== "sts_assume_role") return grant.endpoint;
  const suffix = grant.region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
  return `https://sts.${grant.region}.${suffix}/`;
}

/** The value of a credential that a connection made: its JSON. */
export const RefreshValue = Type.Object(
  {
    refreshToken: Type.String({ minLength: 1, maxLength: 8192 }),
    clientSecret: Type.Optional(Type.String({ minLength: 1, maxLength: 1024 })),
  },
  closed,
);
export type RefreshValue = Static<typeof RefreshValue>;
