import type { Access } from "../../shared/http/server.ts";

/** How a query parameter's value must look. */
export type QueryRules = Readonly<Record<string, RegExp>>;

export interface Verb {
  query?: QueryRules;
  /** The body it takes, by content type. Without it a body is not forwarded. */
  body?: "json" | "merge-patch";
  /** A body must have these members, and they must be objects. */
  objects?: readonly string[];
  /** A body must not have these members. */
  without?: readonly string[];
}

/** Something the gateway serves. What is not listed is refused. */
export interface Route {
  /** For logs: the path without anything of the caller's in it. */
  name: string;
  /** The segments it begins with, after `v1`. */
  prefix: readonly string[];
  /** Whether more segments follow. */
  below: "none" | "one" | "one or two" | "some" | "any";
  /** Segments that stand behind the one that follows. */
  suffix?: readonly string[];
  /** Whether the path may end in a slash: always, or where it lists. */
  folder?: "always" | "list";
  verbs: Readonly<Record<string, Verb>>;
  answer: Answer;
  access: Access;
}

/** Who answers, and how: `answer/` has a handler for each. */
export type Answer =
  /** The organization's Vault, to the caller's own identity. */
  | "vault"
  /** The organization's Vault if a token says which, else the gateway about itself. */
  | "health"
  | "seal-status"
  /** The gateway, from the caller's own token. */
  | "login"
  | "lookup-self"
  | "renew-self"
  | "revoke-self"
  /** The gateway, with what it has asked the organization's Vault. */
  | "machine-token"
  | "mounts"
  /** The gateway, about itself. */
  | "leader"
  | "init";

const VERSION = { version: /^[0-9]{1,9}$/ };
const JSON_BODY: Verb = { body: "json" };
const DATA_BODY: Verb = { body: "json", objects: ["data"] };
const DATA_PATCH: Verb = { body: "merge-patch", objects: ["data"] };

/** Vault ignores what it does not know here, and so do we; clients ask for other statuses by these. */
const HEALTH_QUERY = Object.fromEntries(
  [
    ...["standbyok", "perfstandbyok"],
    ...["activecode", "standbycode", "drsecondarycode", "performancestandbycode", "sealedcode", "uninitcode"],
    ...["removedcode", "haunhealthycode"],
  ].map((name) => [name, /^[a-z0-9]{0,5}$/]),
);

const tenant = { permission: "a member of the organization; its Vault's policies decide" };

const versions = (name: "delete" | "undelete" | "destroy"): Route => ({
  name: `secret/${name}`,
  prefix: ["secret", name],
  below: "some",
  verbs: { POST: JSON_BODY, PUT: JSON_BODY },
  answer: "vault",
  access: tenant,
});

/** It would have Vault answer with whatever status its caller likes, also with one that says it cannot serve. */
const BATCH: Verb = { body: "json", without: ["partial_failure_response_code"] };

/** What the organization's own keys do; some by an algorithm, which stands behind the key's name. */
const transit = (name: string, prefix: readonly string[], below: Route["below"] = "one"): Route => ({
  name: `transit/${name}`,
  prefix: ["transit", ...prefix],
  below,
  verbs: { POST: BATCH, PUT: BATCH },
  answer: "vault",
  access: tenant,
});

const keyChange = (name: "rotate" | "config"): Route => ({
  name: `transit/keys/${name}`,
  prefix: ["transit", "keys"],
  below: "one",
  suffix: [name],
  verbs: { POST: JSON_BODY, PUT: JSON_BODY },
  answer: "vault",
  access: tenant,
});

/** All that the gateway serves; LIST comes in as GET with `list=true`. */
export const ROUTES: readonly Route[] = [
  {
    name: "secret/data",
    prefix: ["secret", "data"],
    below: "some",
    verbs: { GET: { query: VERSION }, POST: DATA_BODY, PUT: DATA_BODY, PATCH: DATA_PATCH, DELETE: {} },
    answer: "vault",
    access: tenant,
  },
  versions("delete"),
  versions("undelete"),
  versions("destroy"),
  {
    name: "secret/metadata",
    prefix: ["secret", "metadata"],
    below: "any",
    folder: "list",
    verbs: {
      GET: {},
      POST: JSON_BODY,
      PUT: JSON_BODY,
      PATCH: { body: "merge-patch" },
      DELETE: {},
    },
    answer: "vault",
    access: tenant,
  },
  {
    name: "secret/subkeys",
    prefix: ["secret", "subkeys"],
    below: "some",
    verbs: { GET: { query: { ...VERSION, depth: /^[0-9]{1,9}$/ } } },
    answer: "vault",
    access: tenant,
  },
  {
    name: "secret/config",
    prefix: ["secret", "config"],
    below: "none",
    verbs: { GET: {}, POST: JSON_BODY, PUT: JSON_BODY },
    answer: "vault",
    access: tenant,
  },
  transit("encrypt", ["encrypt"]),
  transit("decrypt", ["decrypt"]),
  transit("rewrap", ["rewrap"]),
  transit("datakey/wrapped", ["datakey", "wrapped"]),
  transit("hmac", ["hmac"], "one or two"),
  transit("sign", ["sign"], "one or two"),
  transit("verify", ["verify"], "one or two"),
  transit("random", ["random"], "none"),
  transit("random/bytes", ["random"], "one or two"),
  {
    name: "transit/keys",
    prefix: ["transit", "keys"],
    below: "none",
    folder: "list",
    verbs: { GET: {} },
    answer: "vault",
    access: tenant,
  },
  {
    name: "transit/keys/name",
    prefix: ["transit", "keys"],
    below: "one",
    verbs: { GET: {}, POST: JSON_BODY, PUT: JSON_BODY },
    answer: "vault",
    access: tenant,
  },
  keyChange("rotate"),
  keyChange("config"),
  {
    name: "sys/internal/ui/mounts",
    prefix: ["sys", "internal", "ui", "mounts"],
    below: "any",
    folder: "always",
    verbs: { GET: {} },
    answer: "vault",
    access: tenant,
  },
  {
    name: "sys/internal/ui/resultant-acl",
    prefix: ["sys", "internal", "ui", "resultant-acl"],
    below: "none",
    verbs: { GET: {} },
    answer: "vault",
    access: tenant,
  },
  {
    name: "sys/mounts",
    prefix: ["sys", "mounts"],
    below: "none",
    verbs: { GET: {} },
    answer: "mounts",
    access: tenant,
  },
  {
    name: "auth/token/lookup-self",
    prefix: ["auth", "token", "lookup-self"],
    below: "none",
    verbs: { GET: {}, POST: {} },
    answer: "lookup-self",
    access: tenant,
  },
  {
    name: "auth/token/renew-self",
    prefix: ["auth", "token", "renew-self"],
    below: "none",
    verbs: { POST: JSON_BODY, PUT: JSON_BODY },
    answer: "renew-self",
    access: tenant,
  },
  {
    name: "auth/token/revoke-self",
    prefix: ["auth", "token", "revoke-self"],
    below: "none",
    verbs: { POST: JSON_BODY, PUT: JSON_BODY },
    answer: "revoke-self",
    access: tenant,
  },
  {
    name: "auth/token/create/machine",
    prefix: ["auth", "token", "create", "machine"],
    below: "none",
    verbs: { POST: JSON_BODY, PUT: JSON_BODY },
    answer: "machine-token",
    access: { permission: "an admin of the organization, where an operator has switched it on" },
  },
  {
    name: "auth/jwt/login",
    prefix: ["auth", "jwt", "login"],
    below: "none",
    verbs: { POST: JSON_BODY, PUT: JSON_BODY },
    answer: "login",
    access: { open: "the token that it needs, a JWT, is in its body" },
  },
  {
    name: "sys/capabilities-self",
    prefix: ["sys", "capabilities-self"],
    below: "none",
    verbs: { POST: JSON_BODY, PUT: JSON_BODY },
    answer: "vault",
    access: tenant,
  },
  {
    name: "sys/health",
    prefix: ["sys", "health"],
    below: "none",
    verbs: { GET: { query: HEALTH_QUERY }, HEAD: { query: HEALTH_QUERY } },
    answer: "health",
    access: { open: "load balancers and clients ask it before they have a token, as at Vault" },
  },
  {
    name: "sys/seal-status",
    prefix: ["sys", "seal-status"],
    below: "none",
    verbs: { GET: {} },
    answer: "seal-status",
    access: { open: "clients ask it before they have a token, as at Vault" },
  },
  {
    name: "sys/init",
    prefix: ["sys", "init"],
    below: "none",
    verbs: { GET: {} },
    answer: "init",
    access: { open: "it says nothing but that there is nothing to initialize" },
  },
  {
    name: "sys/leader",
    prefix: ["sys", "leader"],
    below: "none",
    verbs: { GET: {} },
    answer: "leader",
    access: { open: "it says nothing but that there is no other address to go to" },
  },
];

/** The route that serves a path, whatever the verb; undefined for a path that is not listed. */
export function findRoute(segments: readonly string[]): Route | undefined {
  if (segments[0] !== "v1") return undefined;
  return ROUTES.find(({ prefix, below, suffix = [] }) => {
    const more = segments.length - 1 - prefix.length - suffix.length;
    if (more < 0 || (below === "none" && more > 0) || (below === "some" && more === 0)) return false;
    if (below === "one" && more !== 1) return false;
    if (below === "one or two" && more !== 1 && more !== 2) return false;
    if (!prefix.every((segment, i) => segment === segments[i + 1])) return false;
    return suffix.every((segment, i) => segment === segments[segments.length - suffix.length + i]);
  });
}
