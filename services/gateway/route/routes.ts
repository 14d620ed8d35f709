import type { Access } from "../../shared/http/server.ts";

/** How a query parameter's value must look. */
export type QueryRules = Readonly<Record<string, RegExp>>;

export interface Verb {
  query?: QueryRules;
  /** The kind of body it takes. Without this, a body is not forwarded. */
  body?: "json" | "merge-patch";
  /** A body must have these members, and they must be objects. */
  objects?: readonly string[];
  /** A body must not have these members. */
  without?: readonly string[];
}

/** A path that the gateway serves. Paths that are not listed are refused. */
export interface Route {
  /** For logs: the path without any part that the caller chooses. */
  name: string;
  /** The segments it begins with, after `v1`. */
  prefix: readonly string[];
  /** Whether more segments follow. */
  below: "none" | "one" | "one or two" | "some" | "any";
  /** Segments after the variable one. */
  suffix?: readonly string[];
  /** Whether the path may end in a slash: always, or only if it lists. */
  folder?: "always" | "list";
  verbs: Readonly<Record<string, Verb>>;
  answer: Answer;
  access: Access;
}

/** The kind of answer: `answer/` has a handler for each. */
export type Answer =
  /** The organization's Vault answers, under the caller's own identity. */
  | "vault"
  /** The organization's Vault if a token identifies it, otherwise the gateway about itself. */
  | "health"
  | "seal-status"
  /** The gateway answers from the caller's own token. */
  | "login"
  | "lookup-self"
  | "renew-self"
  | "revoke-self"
  /** The gateway answers from its own request to the organization's Vault. */
  | "machine-token"
  | "mounts"
  /** The gateway answers about itself. */
  | "leader"
  | "init";

const VERSION = { version: /^[0-9]{1,9}$/ };
const JSON_BODY: Verb = { body: "json" };
const DATA_BODY: Verb = { body: "json", objects: ["data"] };
const DATA_PATCH: Verb = { body: "merge-patch", objects: ["data"] };

/** Clients choose other status codes by these. Vault ignores values that it cannot parse, and so does the gateway. */
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

/** The excluded member would let a caller choose Vault's status, even a 5xx, which the gateway takes for a failure. */
const BATCH: Verb = { body: "json", without: ["partial_failure_response_code"] };

/** Operations with the organization's own keys; some take an algorithm after the key's name. */
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

/** All that the gateway serves; a LIST arrives here as GET with `list=true`. */
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
    access: { permission: "an admin of the organization, if an operator has enabled machine tokens" },
  },
  {
    name: "auth/jwt/login",
    prefix: ["auth", "jwt", "login"],
    below: "none",
    verbs: { POST: JSON_BODY, PUT: JSON_BODY },
    answer: "login",
    access: { open: "its JWT is in the body, and is verified there" },
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
    access: { open: "load balancers and clients query it before they have a token, as at Vault" },
  },
  {
    name: "sys/seal-status",
    prefix: ["sys", "seal-status"],
    below: "none",
    verbs: { GET: {} },
    answer: "seal-status",
    access: { open: "clients query it before they have a token, as at Vault" },
  },
  {
    name: "sys/init",
    prefix: ["sys", "init"],
    below: "none",
    verbs: { GET: {} },
    answer: "init",
    access: { open: "it reveals nothing: it only says that everything is initialized" },
  },
  {
    name: "sys/leader",
    prefix: ["sys", "leader"],
    below: "none",
    verbs: { GET: {} },
    answer: "leader",
    access: { open: "it reveals nothing: it only says that there is no other node to use" },
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
