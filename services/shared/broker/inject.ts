import { type Static, Type } from "typebox";

const closed = { additionalProperties: false };

const HeaderName = Type.String({ pattern: "^[A-Za-z][A-Za-z0-9-]{0,63}$" });
/** A header's value; `{}` stands for the credential, or for what was made of it. */
const HeaderFormat = Type.String({
  maxLength: 200,
  pattern: "^[\\x20-\\x7e]*\\{\\}[\\x20-\\x7e]*$",
  description: "The header's value; `{}` stands for the credential, or for what was made of it",
});
const header = { header: HeaderName, format: HeaderFormat };

export const SigningAlgorithm = Type.Enum(["RS256", "ES256", "EdDSA", "HS256"]);

/** An access key of AWS, as the value of a credential: its JSON. */
export const AwsKey = Type.Object(
  {
    accessKeyId: Type.String({ pattern: "^[A-Z0-9]{16,128}$" }),
    secretAccessKey: Type.String({ minLength: 16, maxLength: 128 }),
    sessionToken: Type.Optional(Type.String({ minLength: 16, maxLength: 4096 })),
  },
  closed,
);
export type AwsKey = Static<typeof AwsKey>;

/**
 * What the broker does with a credential to make a request. Sign rather than send, if the destination allows it: with
 * `sigv4`, `hmac` and `jwt` the credential itself never leaves the broker.
 */
export const Injection = Type.Union([
  /** Sends the value in a header. */
  Type.Object(header, closed),
  /** Sends the value as the password of this user: `Authorization: Basic`. */
  Type.Object(
    { basic: Type.Object({ user: Type.String({ pattern: "^[^:\\x00-\\x1f]{1,128}$" }) }, closed) },
    closed,
  ),
  /** Sends the value in a member of the query; only for rules with `inUrl`. */
  Type.Object({ query: Type.String({ pattern: "^[A-Za-z0-9._~-]{1,64}$" }) }, closed),
  /** Puts this before the path, such as `/bot{}`; only for rules with `inUrl`. */
  Type.Object(
    { pathPrefix: Type.String({ maxLength: 200, pattern: "^/[A-Za-z0-9._~/-]*\\{\\}[A-Za-z0-9._~/-]*$" }) },
    closed,
  ),
  /** AWS Signature Version 4. The value is an {@link AwsKey} as JSON. */
  Type.Object(
    {
      sigv4: Type.Object(
        {
          service: Type.String({ pattern: "^[a-z0-9-]{1,64}$" }),
          region: Type.String({ pattern: "^[a-z0-9-]{1,32}$" }),
        },
        closed,
      ),
    },
    closed,
  ),
  /** A keyed hash of a text made of the request; the value is the key. */
  Type.Object(
    {
      hmac: Type.Object(
        {
          ...header,
          algorithm: Type.Enum(["sha256", "sha512"]),
          encoding: Type.Enum(["hex", "base64", "base64url"]),
          template: Type.String({
            minLength: 1,
            maxLength: 500,
            description:
              "What is signed: text with {method}, {path}, {query}, {host}, {timestamp}, {body}, {body-sha256}",
          }),
          timestamp: Type.Optional(
            Type.Object(
              { header: HeaderName, unit: Type.Enum(["seconds", "milliseconds", "rfc3339"]) },
              closed,
            ),
          ),
        },
        closed,
      ),
    },
    closed,
  ),
  /** A JWT signed by the value (PEM of a private key; for HS256 the secret itself), made for each request. */
  Type.Object(
    {
      jwt: Type.Object(
        {
          ...header,
          algorithm: SigningAlgorithm,
          keyId: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
          claims: Type.Record(
            Type.String({ pattern: "^[A-Za-z0-9_:/.-]{1,64}$" }),
            Type.String({ maxLength: 500 }),
          ),
          lifetimeSeconds: Type.Integer({ minimum: 10, maximum: 3600 }),
        },
        closed,
      ),
    },
    closed,
  ),
  /** Sends an access token that the policy's `grant` obtains. */
  Type.Object({ token: Type.Object(header, closed) }, closed),
]);
export type Injection = Static<typeof Injection>;

/** Whether the credential stands in the request's URL. */
export const isInUrl = (inject: Injection): boolean => "query" in inject || "pathPrefix" in inject;

/** The headers that the broker sets to carry a credential, or what was made of it; in lower case. */
export function injectedHeaders(inject: Injection): string[] {
  if ("basic" in inject) return ["authorization"];
  if ("sigv4" in inject)
    return ["authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];
  const names: string[] = [];
  if ("header" in inject) names.push(inject.header);
  if ("hmac" in inject)
    names.push(inject.hmac.header, ...(inject.hmac.timestamp ? [inject.hmac.timestamp.header] : []));
  if ("jwt" in inject) names.push(inject.jwt.header);
  if ("token" in inject) names.push(inject.token.header);
  return names.map((name) => name.toLowerCase());
}
