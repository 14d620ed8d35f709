import { expect, test } from "vitest";
import { checkBrokerPolicy } from "../../../services/intake/credentials/check-broker-policy.ts";
import type { Grant } from "../../../services/shared/broker/grant.ts";
import type { BrokerPolicy } from "../../../services/shared/broker/policy.ts";
import type { Rule } from "../../../services/shared/broker/rules.ts";
import type { PartError, StrongroomError } from "../../../services/shared/errors.ts";

const PORTS = new Set([443, 8443]);
const who = { level: "writer" as const };
const rule = (changes: Partial<Rule> = {}): Rule => ({
  ...{ id: "read", methods: ["GET"], paths: ["/v1/**"], who },
  ...changes,
});
const policy = (changes: Partial<BrokerPolicy> = {}): BrokerPolicy => ({
  origin: "https://api.example.com",
  inject: { header: "X-Api-Key", format: "{}" },
  rules: [rule()],
  ...changes,
});

function errorsOf(of: BrokerPolicy): PartError[] {
  try {
    checkBrokerPolicy(of, PORTS);
    return [];
  } catch (error) {
    const { code, errors = [] } = error as StrongroomError;
    expect(code).toBe("invalid_destination");
    return [...errors];
  }
}

const hmac = {
  header: "X-Sign",
  format: "{}",
  algorithm: "sha256",
  encoding: "hex",
  template: "{method}{path}",
} as const;
const jwt = {
  header: "Authorization",
  format: "Bearer {}",
  algorithm: "ES256",
  claims: {},
  lifetimeSeconds: 60,
} as const;
type GrantOf<T> = Extract<Grant, { type: T }>;
const grant: GrantOf<"client_credentials"> = {
  ...{ endpoint: "https://login.example.com/token", clientId: "c", clientAuth: "basic" as const },
  ...{ type: "client_credentials", scopes: ["read"], who, lifetimeSeconds: 600 },
};
const refresh: GrantOf<"refresh_token"> = { ...grant, type: "refresh_token" };
const sts = {
  type: "sts_assume_role",
  who,
  lifetimeSeconds: 900,
  region: "eu-central-1",
  roleArn: "arn:aws:iam::111122223333:role/x",
} as const;
const rest = {
  type: "rest" as const,
  create: { method: "POST" as const, path: "/keys", body: '{"a":1}' },
  ...{ key: "/key", id: "/id", check: { method: "GET" as const, path: "/me" } },
  revoke: { method: "DELETE" as const, path: "/keys/{id}" },
};

test.each<[string, Partial<BrokerPolicy>]>([
  ["a header", {}],
  ["no rules", { rules: [] }],
  ["Basic", { inject: { basic: { user: "ada" } } }],
  [
    "the query, where the rule says so",
    { inject: { query: "key" }, rules: [rule({ inUrl: true, query: ["page"] })] },
  ],
  ["a prefix of the path", { inject: { pathPrefix: "/bot{}" }, rules: [rule({ inUrl: true })] }],
  ["SigV4", { inject: { sigv4: { service: "s3", region: "eu-central-1" } } }],
  [
    "HMAC",
    {
      inject: {
        hmac: { ...hmac, template: "{timestamp}.{body}", timestamp: { header: "X-Time", unit: "seconds" } },
      },
    },
  ],
  ["a JWT", { inject: { jwt } }],
  ["a token by a grant", { inject: { token: { header: "Authorization", format: "Bearer {}" } }, grant }],
  ["a session policy", { grant: { ...sts, sessionPolicy: '{"Statement":[]}' } }],
  [
    "hours",
    { rules: [rule({ hours: { days: ["mon"], from: "22:00", to: "06:00", timeZone: "Europe/Berlin" } })] },
  ],
  ["a recipe", { rotation: rest }],
  [
    "a recipe for PostgreSQL",
    { rotation: { type: "postgresql", host: "db.example.com", port: 5432, database: "d", role: "r" } },
  ],
])("taken: %s", (_, changes) => {
  expect(errorsOf(policy(changes))).toEqual([]);
});

test.each<[string, string, Partial<BrokerPolicy>]>([
  ["an address", "origin", { origin: "https://10.0.0.1" }],
  ["plain HTTP", "origin", { origin: "http://api.example.com" }],
  ["another port", "origin", { origin: "https://api.example.com:22" }],
  ["a header of its own", "inject/header", { inject: { header: "Host", format: "{}" } }],
  ["a cookie", "inject/header", { inject: { header: "Cookie", format: "{}" } }],
  ["the value twice", "inject/format", { inject: { header: "X-Key", format: "{} {}" } }],
  [
    "a prefix with dots",
    "inject/pathPrefix",
    { inject: { pathPrefix: "/../{}" }, rules: [rule({ inUrl: true })] },
  ],
  [
    "a prefix with a slash at its end",
    "inject/pathPrefix",
    { inject: { pathPrefix: "/{}/" }, rules: [rule({ inUrl: true })] },
  ],
  [
    "an unknown member of a template",
    "inject/hmac/template",
    { inject: { hmac: { ...hmac, template: "{secret}" } } },
  ],
  ["a brace of no member", "inject/hmac/template", { inject: { hmac: { ...hmac, template: "{method}{" } } }],
  ["a template of text alone", "inject/hmac/template", { inject: { hmac: { ...hmac, template: "always" } } }],
  [
    "a timestamp that is not sent",
    "inject/hmac/timestamp",
    { inject: { hmac: { ...hmac, template: "{timestamp}" } } },
  ],
  [
    "a timestamp in the signature's header",
    "inject/hmac/timestamp/header",
    { inject: { hmac: { ...hmac, timestamp: { header: "x-sign", unit: "seconds" } } } },
  ],
  ["a claim of the broker's", "inject/jwt/claims/exp", { inject: { jwt: { ...jwt, claims: { exp: "1" } } } }],
  [
    "a token without a grant",
    "grant",
    { inject: { token: { header: "Authorization", format: "Bearer {}" } } },
  ],
  ["the same id twice", "rules/1/id", { rules: [rule(), rule()] }],
  ["a method twice", "rules/0/methods/1", { rules: [rule({ methods: ["GET", "GET"] })] }],
  ["a pattern that is none", "rules/0/paths/1", { rules: [rule({ paths: ["/v1/*", "/v1/**/x"] })] }],
  ["a path that is not canonical", "rules/0/paths/0", { rules: [rule({ paths: ["/v1//x"] })] }],
  ["a query's member twice", "rules/0/query/1", { rules: [rule({ query: ["a", "a"] })] }],
  ["a group twice", "rules/0/who/groups/1", { rules: [rule({ who: { ...who, groups: ["a", "a"] } })] }],
  [
    "an unknown time zone",
    "rules/0/hours/timeZone",
    { rules: [rule({ hours: { from: "08:00", to: "17:00", timeZone: "Mars/North" } })] },
  ],
  [
    "an offset for a time zone",
    "rules/0/hours/timeZone",
    { rules: [rule({ hours: { from: "08:00", to: "17:00", timeZone: "+02:00" } })] },
  ],
  [
    "an hour that is none",
    "rules/0/hours/to",
    { rules: [rule({ hours: { from: "08:00", to: "08:00", timeZone: "UTC" } })] },
  ],
  ["the URL, where the policy has a header", "rules/0/inUrl", { rules: [rule({ inUrl: true })] }],
  ["the URL, where no rule says so", "rules/0/inUrl", { inject: { query: "key" } }],
  [
    "the credential's own member for callers",
    "rules/0/query/0",
    { inject: { query: "key" }, rules: [rule({ inUrl: true, query: ["key"] })] },
  ],
  [
    "an endpoint at an address",
    "grant/endpoint",
    { grant: { ...grant, endpoint: "https://127.0.0.1/token" } },
  ],
  [
    "an endpoint at another port",
    "grant/endpoint",
    { grant: { ...grant, endpoint: "https://login.example.com:81/token" } },
  ],
  [
    "an endpoint with dots",
    "grant/endpoint",
    { grant: { ...grant, endpoint: "https://login.example.com/a/../b" } },
  ],
  ["a scope twice", "grant/scopes/1", { grant: { ...grant, scopes: ["a", "a"] } }],
  [
    "a revocation at an address",
    "grant/revocation",
    {
      grant: { ...refresh, revocation: "https://[::1]/revoke" },
    },
  ],
  ["a session policy that is no JSON", "grant/sessionPolicy", { grant: { ...sts, sessionPolicy: "{not" } }],
  ["a session policy that is a list", "grant/sessionPolicy", { grant: { ...sts, sessionPolicy: "[]" } }],
  [
    "a recipe's path with dots",
    "rotation/create/path",
    { rotation: { ...rest, create: { method: "POST", path: "/a/../b" } } },
  ],
  [
    "a recipe's body that is no JSON",
    "rotation/create/body",
    { rotation: { ...rest, create: { method: "POST", path: "/a", body: "{" } } },
  ],
  [
    "a recipe's body with GET",
    "rotation/create/body",
    { rotation: { ...rest, create: { method: "GET", path: "/a", body: "{}" } } },
  ],
  ["a recipe for a refresh token", "rotation", { grant: refresh, rotation: rest }],
  [
    "requests with the value itself for a policy that sends a token",
    "rotation",
    { inject: { token: { header: "Authorization", format: "Bearer {}" } }, grant, rotation: rest },
  ],
  [
    "a session shorter than AWS's shortest",
    "grant/lifetimeSeconds",
    { grant: { ...sts, lifetimeSeconds: 899 } },
  ],
  [
    "a recipe for a database at an address",
    "rotation/host",
    { rotation: { type: "postgresql", host: "10.0.0.1", port: 5432, database: "d", role: "r" } },
  ],
])("refused: %s", (_, pointer, changes) => {
  expect(errorsOf(policy(changes)).map((error) => error.pointer)).toContain(`/body/destination/${pointer}`);
});

test("a recipe that names the old key by an id it does not read", () => {
  const { id: _, ...without } = rest;
  expect(errorsOf(policy({ rotation: without }))).toMatchObject([
    { pointer: "/body/destination/rotation/id" },
  ]);
});

test("all that is wrong is told at once", () => {
  const wrong = policy({
    origin: "http://x",
    inject: { header: "Host", format: "{}{}" },
    rules: [rule(), rule()],
  });
  expect(errorsOf(wrong).length).toBeGreaterThan(3);
});
