import { createHash } from "node:crypto";
import { type Static, Type } from "typebox";

export const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] as const;

/** Where a credential may be sent, and how. Its hash is sealed with the credential: see {@link policyHash}. */
export const DestinationPolicy = Type.Object(
  {
    origin: Type.String({ maxLength: 300, description: "`https://host` or `https://host:port`, lower case" }),
    methods: Type.Array(Type.Enum([...METHODS]), { minItems: 1, maxItems: METHODS.length }),
    paths: Type.Array(Type.String({ minLength: 1, maxLength: 512, pattern: "^/" }), {
      minItems: 1,
      maxItems: 32,
      description: "Path patterns: `*` is one segment, a last `**` is any number of segments",
    }),
    inject: Type.Union([
      Type.Object(
        {
          header: Type.String({ pattern: "^[A-Za-z][A-Za-z0-9-]{0,63}$" }),
          format: Type.String({
            maxLength: 200,
            pattern: "^[\\x20-\\x7e]*\\{\\}[\\x20-\\x7e]*$",
            description: "The header's value; `{}` stands for the credential",
          }),
        },
        { additionalProperties: false },
      ),
      Type.Object({ signature: Type.Enum(["standard-webhooks"]) }, { additionalProperties: false }),
    ]),
  },
  { additionalProperties: false },
);
export type DestinationPolicy = Static<typeof DestinationPolicy>;

/** One text for all spellings of a policy: fixed member order, lists sorted and without repetitions. */
export function canonicalPolicy({ origin, methods, paths, inject }: DestinationPolicy): string {
  const list = (values: readonly string[]) => [...new Set(values)].sort();
  const injected =
    "signature" in inject
      ? { signature: inject.signature }
      : { header: inject.header.toLowerCase(), format: inject.format };
  return JSON.stringify({ origin, methods: list(methods), paths: list(paths), inject: injected });
}

/** SHA-256 of the canonical policy, base64url: the member `policy` of the encryption context. */
export const policyHash = (policy: DestinationPolicy): string =>
  createHash("sha256").update(canonicalPolicy(policy)).digest("base64url");
