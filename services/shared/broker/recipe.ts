import { type Static, Type } from "typebox";
import { METHODS } from "../work/destination.ts";

const closed = { additionalProperties: false };
const Path = Type.String({ minLength: 1, maxLength: 1024, pattern: "^/" });
const Pointer = Type.String({
  maxLength: 200,
  pattern: "^(/[^/]*)*$",
  description: "JSON pointer (RFC 6901)",
});
const Method = Type.Enum([...METHODS]);
const Status = Type.Array(Type.Integer({ minimum: 100, maximum: 599 }), { minItems: 1, maxItems: 16 });

/**
 * How a worker makes a new value of a credential at its provider, and revokes the old one. It is part of the policy that
 * is sealed with the value: nobody can make the worker send the value elsewhere.
 */
export const Recipe = Type.Union([
  /** A provider with an API for its keys, at the credential's own origin. */
  Type.Object(
    {
      type: Type.Literal("rest"),
      create: Type.Object(
        {
          method: Method,
          path: Path,
          body: Type.Optional(Type.String({ maxLength: 4096, description: "JSON" })),
        },
        closed,
      ),
      key: Type.Unsafe<string>({ ...Pointer, description: "Where the new key is in the answer of `create`" }),
      id: Type.Optional(Type.Unsafe<string>({ ...Pointer, description: "Where the new key's id is" })),
      check: Type.Object({ method: Method, path: Path, status: Type.Optional(Status) }, closed),
      revoke: Type.Optional(
        Type.Object(
          {
            method: Method,
            path: Type.String({ ...Path, description: "`{id}` stands for the old key's id" }),
            body: Type.Optional(Type.String({ maxLength: 4096, description: "JSON; `{id}` as in the path" })),
          },
          closed,
        ),
      ),
      currentId: Type.Optional(
        Type.String({ maxLength: 256, description: "The id of the key that was put, for `revoke`" }),
      ),
    },
    closed,
  ),
  /** An access key of AWS (IAM). The value is an AwsKey as JSON. */
  Type.Object(
    {
      type: Type.Literal("aws_access_key"),
      userName: Type.Optional(Type.String({ pattern: "^[A-Za-z0-9+=,.@_-]{1,64}$" })),
    },
    closed,
  ),
  /** A role of PostgreSQL, which changes its own password. The value is the password. */
  Type.Object(
    {
      type: Type.Literal("postgresql"),
      host: Type.String({ pattern: "^[a-z0-9.-]{1,253}$" }),
      port: Type.Integer({ minimum: 1, maximum: 65_535 }),
      database: Type.String({ minLength: 1, maxLength: 63 }),
      role: Type.String({ minLength: 1, maxLength: 63 }),
    },
    closed,
  ),
]);
export type Recipe = Static<typeof Recipe>;

/** Where IAM is, for access keys of this region's partition, and the region that its requests are signed for. */
export function iamOf(region = "us-east-1"): { origin: string; region: string } {
  if (region.startsWith("cn-")) {
    return { origin: "https://iam.cn-north-1.amazonaws.com.cn", region: "cn-north-1" };
  }
  if (region.startsWith("us-gov-")) {
    return { origin: "https://iam.us-gov.amazonaws.com", region: "us-gov-west-1" };
  }
  return { origin: "https://iam.amazonaws.com", region: "us-east-1" };
}

/** Where a recipe's requests go. `policy` is the credential's. */
export function providerOf(
  recipe: Recipe,
  policy: { origin: string; inject: object | { sigv4: { region: string } } },
): string {
  if (recipe.type === "rest") return policy.origin;
  if (recipe.type === "postgresql") return `postgresql://${recipe.host}:${recipe.port}`;
  return iamOf("sigv4" in policy.inject ? policy.inject.sigv4.region : undefined).origin;
}
