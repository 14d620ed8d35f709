import { hash } from "node:crypto";
import { type Static, Type } from "typebox";
import { canonicalJson } from "../canonical-json.ts";
import { type Grant, MOST_TOKEN_SECONDS } from "./grant.ts";

const closed = { additionalProperties: false };
const Access = Type.Enum(["read", "write", "admin"]);
type Access = Static<typeof Access>;

/** What a caller wants of a token: less than the policy allows. Without a member, as much as the policy allows. */
export const AskedToken = Type.Object(
  {
    scopes: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 200 }), { minItems: 1, maxItems: 64 }),
    ),
    /** For `github_app`. */
    permissions: Type.Optional(
      Type.Record(Type.String({ pattern: "^[a-z_]{1,64}$" }), Access, {
        ...closed,
        minProperties: 1,
        maxProperties: 64,
      }),
    ),
    /** For `github_app`: names of repositories. */
    repositories: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 500 }), { minItems: 1, maxItems: 500 }),
    ),
    sessionPolicy: Type.Optional(
      Type.String({
        minLength: 2,
        maxLength: 2048,
        description:
          "For `sts_assume_role`: an IAM policy as JSON. If the credential's policy has one, only with statements that deny",
      }),
    ),
    seconds: Type.Optional(
      Type.Integer({ minimum: 60, maximum: MOST_TOKEN_SECONDS, description: "The longest that it may live" }),
    ),
  },
  closed,
);
export type AskedToken = Static<typeof AskedToken>;

/** What is asked of the provider. */
export interface Narrowed {
  scopes: string[];
  permissions?: Record<string, Access>;
  repositories?: string[];
  sessionPolicy?: string;
  /** The longest that the token may live. */
  seconds: number;
  /** What the token is for, in words for receipts and callers: at most 64 of 200 characters. */
  names: string[];
}

/** The part of what was asked that the policy does not allow. */
export interface Widened {
  denied: keyof AskedToken;
  /** For the caller: `…` of "`scopes` …". */
  why: string;
}

/** AWS's shortest session. */
export const LEAST_STS_SECONDS = 900;
/** AWS's longest session policy, in characters. */
const MOST_SESSION_POLICY = 2048;
const ACCESS: readonly Access[] = ["read", "write", "admin"];
const PARTS_OF: Record<Grant["type"], readonly (keyof AskedToken)[]> = {
  client_credentials: ["scopes"],
  refresh_token: ["scopes"],
  jwt_bearer: ["scopes"],
  token_exchange: ["scopes"],
  github_app: ["permissions", "repositories"],
  sts_assume_role: ["sessionPolicy"],
};

/** What a caller gets of what they ask: never more than the grant allows, in any part. */
export function narrow(grant: Grant, asked: AskedToken): Narrowed | Widened {
  const foreign = (["scopes", "permissions", "repositories", "sessionPolicy"] as const).find(
    (part) => asked[part] !== undefined && !PARTS_OF[grant.type].includes(part),
  );
  if (foreign) return { denied: foreign, why: `are no part of a grant of the type ${grant.type}` };
  const seconds = Math.min(grant.lifetimeSeconds, asked.seconds ?? MOST_TOKEN_SECONDS, MOST_TOKEN_SECONDS);
  switch (grant.type) {
    case "github_app":
      return narrowGitHub(grant, asked, seconds);
    case "sts_assume_role":
      return narrowSession(grant, asked, seconds);
    default:
      return narrowScopes(grant.scopes, asked, seconds);
  }
}

function narrowScopes(allowed: readonly string[], { scopes }: AskedToken, seconds: number) {
  if (scopes?.some((scope) => !allowed.includes(scope))) {
    return { denied: "scopes", why: "have one that the credential's policy does not allow" } as const;
  }
  // In the policy's order, each once: the same scopes are the same token.
  const narrowed = [...new Set(allowed)].filter((scope) => scopes?.includes(scope) ?? true);
  return { scopes: narrowed, seconds, names: narrowed };
}

function narrowGitHub(
  grant: Extract<Grant, { type: "github_app" }>,
  asked: AskedToken,
  seconds: number,
): Narrowed | Widened {
  const allows = (name: string, access: Access) => {
    const most = Object.hasOwn(grant.permissions, name) ? grant.permissions[name] : undefined;
    return most !== undefined && ACCESS.indexOf(access) <= ACCESS.indexOf(most);
  };
  const permissions = asked.permissions ?? grant.permissions;
  const entries = Object.entries(permissions).sort(([a], [b]) => (a < b ? -1 : 1));
  // GitHub takes none for all.
  if (entries.length === 0) return { denied: "permissions", why: "are none" };
  if (!entries.every(([name, access]) => allows(name, access))) {
    return { denied: "permissions", why: "have one that the credential's policy does not allow" };
  }
  const allowed = grant.repositories;
  if (allowed && asked.repositories?.some((each) => !allowed.includes(each))) {
    return { denied: "repositories", why: "have one that the credential's policy does not allow" };
  }
  const repositories = [...new Set(asked.repositories ?? allowed)].sort();
  return {
    ...{ scopes: [], permissions: Object.fromEntries(entries), seconds },
    ...(repositories.length > 0 && { repositories }),
    names: bounded([
      ...entries.map(([name, access]) => `${name}:${access}`),
      ...repositories.map((each) => `repository:${each}`),
    ]),
  };
}

function narrowSession(
  grant: Extract<Grant, { type: "sts_assume_role" }>,
  asked: AskedToken,
  seconds: number,
): Narrowed | Widened {
  if (seconds < LEAST_STS_SECONDS) {
    return { denied: "seconds", why: `are fewer than AWS allows: ${LEAST_STS_SECONDS}` };
  }
  const combined = combinePolicies(grant.sessionPolicy, asked.sessionPolicy);
  if (typeof combined === "object") return { denied: "sessionPolicy", why: combined.why };
  const names = combined === undefined ? [] : [`session-policy:${hash("sha256", combined, "base64url")}`];
  return { scopes: [], seconds, names, ...(combined !== undefined && { sessionPolicy: combined }) };
}

/**
 * One session policy, since AWS takes no two that both must allow something. The caller's may hold anything if the
 * sealed policy has none: it can only narrow what the role allows. Otherwise it may hold statements that deny, which are
 * added to the sealed ones.
 */
function combinePolicies(
  sealed: string | undefined,
  asked: string | undefined,
): string | undefined | { why: string } {
  if (asked === undefined) return sealed;
  const theirs = policyDocument(asked);
  if (!theirs) return { why: "is not an IAM policy as JSON" };
  if (sealed === undefined) return JSON.stringify(theirs);
  const ours = policyDocument(sealed);
  if (!ours) return { why: "cannot be combined: the credential's own is not an IAM policy" };
  if (theirs.Version !== ours.Version) {
    return { why: "has another `Version` than the one of the credential's policy" };
  }
  if (!theirs.Statement.every(({ Effect }) => Effect === "Deny")) {
    return { why: "may only have statements that deny, since the credential's policy has one, too" };
  }
  const combined = JSON.stringify({ ...ours, Statement: [...ours.Statement, ...theirs.Statement] });
  return combined.length <= MOST_SESSION_POLICY
    ? combined
    : { why: `is too long together with the credential's own: ${MOST_SESSION_POLICY} characters at most` };
}

interface PolicyDocument {
  Version?: unknown;
  Statement: Record<string, unknown>[];
}

function policyDocument(text: string): PolicyDocument | undefined {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(document)) return undefined;
  const { Version, Statement } = document;
  const statements = Array.isArray(Statement) ? Statement : [Statement];
  if (statements.length === 0 || !statements.every(isObject)) return undefined;
  return { ...(Version !== undefined && { Version }), Statement: statements };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The names if a receipt can hold them, else a digest of them. */
const bounded = (names: string[]): string[] =>
  names.length <= 64 && names.every((name) => name.length <= 200)
    ? names
    : [`sha256:${hash("sha256", canonicalJson(names), "base64url")}`];
