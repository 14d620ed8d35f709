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

/** The host and port of an origin that a credential may be sent to. */
export interface Origin {
  host: string;
  port: number;
}

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * An origin in its one spelling: `https://`, a DNS name of at least two labels in lower-case ASCII, and a port unless
 * it is 443. Undefined for anything else: addresses in any notation, user information, paths, wildcards, final dots.
 */
export function parseOrigin(origin: string): Origin | undefined {
  const [, host = "", port] = /^https:\/\/([a-z0-9.-]{1,253})(?::([1-9][0-9]{0,4}))?$/.exec(origin) ?? [];
  const labels = host.split(".");
  if (labels.length < 2 || !labels.every((label) => LABEL.test(label))) return undefined;
  // URL parsers take a host whose last label begins like a number for an IPv4 address.
  if (!/^[a-z]/.test(labels.at(-1) as string)) return undefined;
  if (!URL.canParse(origin) || new URL(origin).origin !== origin) return undefined;
  return { host, port: port === undefined ? 443 : Number(port) };
}

/** The host and port of a PostgreSQL server: `postgresql://host:port`, the port always given. Undefined for anything else. */
export function parsePostgresql(address: string): Origin | undefined {
  const [, host = "", port = ""] =
    /^postgresql:\/\/([a-z0-9.-]{1,253}):([1-9][0-9]{0,4})$/.exec(address) ?? [];
  return parseOrigin(`https://${host}`) && Number(port) <= 65_535 ? { host, port: Number(port) } : undefined;
}

const SEGMENT = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})";
const PATH = new RegExp(`^(?:/${SEGMENT}+)*/?$`);
const QUERY = /^(?:[A-Za-z0-9._~!$&'()*+,;=:@/?|[\]-]|%[0-9A-Fa-f]{2})*$/;
/** Slashes, backslashes, percent signs and control characters: another parser could read another path from them. */
const AMBIGUOUS = /%(?:2f|5c|25|[01][0-9a-f]|7f)/i;
/** `.` and `..`, also percent-encoded, and as some servers read them: with a parameter after a semicolon. */
const DOTS = /^(?:\.|%2e){1,2}(?:;|%3b|$)/i;

/** What divides a path, or escapes in it. */
const MARKS = /[/\\%?#;]/g;

/**
 * Whether a path, without a query, can be read in one way only: no empty segments but a last one, no dot segments, no
 * encoded slash, backslash, percent sign or control character, and no encoding of what is no UTF-8 or what a
 * normalization of Unicode would make one of these.
 */
export function isCanonicalPath(path: string): boolean {
  if (path === "" || !PATH.test(path) || AMBIGUOUS.test(path) || hasDots(path)) return false;
  if (!path.includes("%")) return true;
  try {
    const text = decodeURIComponent(path);
    const normal = text.normalize("NFKC");
    return normal.match(MARKS)?.join("") === text.match(MARKS)?.join("") && !hasDots(normal);
  } catch {
    return false;
  }
}

const hasDots = (path: string): boolean => path.split("/").some((segment) => DOTS.test(segment));

/** Whether a pattern is well-formed: a canonical path in which `*` is a whole segment, and `**` the last one. */
export function isPathPattern(pattern: string): boolean {
  if (!isCanonicalPath(pattern)) return false;
  const segments = pattern.split("/").slice(1);
  return segments.every(
    (segment, index) =>
      !segment.includes("*") || segment === "*" || (segment === "**" && index === segments.length - 1),
  );
}

/** Whether a canonical path, without a query, matches a well-formed pattern. `*` is never an empty segment. */
export function matchesPattern(pattern: string, path: string): boolean {
  if (!isPathPattern(pattern) || !isCanonicalPath(path)) return false;
  const wanted = pattern.split("/").slice(1);
  const given = path.split("/").slice(1);
  const hasRest = wanted.at(-1) === "**";
  if (hasRest) wanted.pop();
  if (hasRest ? given.length < wanted.length : given.length !== wanted.length) return false;
  return wanted.every((segment, index) => (segment === "*" ? given[index] !== "" : segment === given[index]));
}

/** Why a path with its query can be read in more than one way; undefined if it is in canonical form. */
export function targetProblem(target: string): string | undefined {
  const question = target.indexOf("?");
  if (!isCanonicalPath(question < 0 ? target : target.slice(0, question))) {
    return "the path is not in canonical form";
  }
  if (question >= 0 && !QUERY.test(target.slice(question + 1))) {
    return "the query contains characters that must be percent-encoded";
  }
  return undefined;
}

/**
 * Why a policy does not allow a request with this method, path and query; undefined if it does. The text names the
 * part that is not allowed and contains nothing of the request.
 */
export function forbiddenByPolicy(
  { methods, paths }: Pick<DestinationPolicy, "methods" | "paths">,
  request: { method: string; path: string },
): string | undefined {
  if (!methods.some((method) => method === request.method)) return "the policy does not allow this method";
  const problem = targetProblem(request.path);
  if (problem) return problem;
  const path = request.path.split("?", 1)[0] ?? "";
  if (!paths.some((pattern) => matchesPattern(pattern, path))) return "the policy does not allow this path";
  return undefined;
}
