import type { Grant } from "../../shared/broker/grant.ts";
import type { Injection } from "../../shared/broker/inject.ts";
import { LEAST_STS_SECONDS } from "../../shared/broker/narrow.ts";
import type { BrokerPolicy } from "../../shared/broker/policy.ts";
import type { Recipe } from "../../shared/broker/recipe.ts";
import { type PartError, StrongroomError } from "../../shared/errors.ts";
import { isCanonicalPath, targetProblem } from "../../shared/work/destination.ts";
import { isInjectable } from "../../shared/work/request-headers.ts";
import { originProblem, urlProblem } from "./check-destination.ts";
import { repeated, ruleErrors } from "./check-rules.ts";

/**
 * Refuses a policy that the broker could not keep, before anything is stored. Throws `invalid_destination` with what is
 * wrong, by part. `at` is the pointer of the policy in the request.
 */
export function checkBrokerPolicy(
  policy: BrokerPolicy,
  ports: ReadonlySet<number>,
  at = "/body/destination",
): void {
  const errors = [
    ...problemOf("origin", originProblem(policy.origin, ports)),
    ...under("inject", injectErrors(policy.inject)),
    ...ruleErrors(policy.rules, policy.inject),
    ...under("grant", policy.grant ? grantErrors(policy.grant, ports) : []),
    ...under("rotation", policy.rotation ? recipeErrors(policy.rotation) : []),
    ...problemOf("rotation", policy.rotation && unrotatable(policy, policy.rotation)),
  ];
  if ("token" in policy.inject && !policy.grant) {
    errors.push({ pointer: "grant", message: "is missing: `inject` sends a token that a grant obtains" });
  }
  refuse(errors, at);
}

/** Throws `invalid_destination` if there are errors, whose pointers are relative to `at`. */
export function refuse(errors: PartError[], at: string): void {
  if (errors.length === 0) return;
  throw new StrongroomError("invalid_destination", "The destination is not allowed. See `errors`.", {
    errors: errors.map(({ pointer, message }) => ({ pointer: `${at}/${pointer}`, message })),
  });
}

const under = (part: string, errors: PartError[]): PartError[] =>
  errors.map(({ pointer, message }) => ({ pointer: `${part}/${pointer}`, message }));
const problemOf = (pointer: string, message: string | undefined): PartError[] =>
  message === undefined ? [] : [{ pointer, message }];

function injectErrors(inject: Injection): PartError[] {
  if ("header" in inject) return headerErrors(inject);
  if ("token" in inject) return under("token", headerErrors(inject.token));
  if ("jwt" in inject) {
    const claims = Object.keys(inject.jwt.claims).filter((name) => BROKERS_CLAIMS.includes(name));
    return under("jwt", [
      ...headerErrors(inject.jwt),
      ...claims.map((name) => ({ pointer: `claims/${name}`, message: "is set by the broker" })),
    ]);
  }
  if ("hmac" in inject) return under("hmac", [...headerErrors(inject.hmac), ...templateErrors(inject.hmac)]);
  if ("pathPrefix" in inject) {
    const { pathPrefix } = inject;
    if (!hasOneBrace(pathPrefix)) return [{ pointer: "pathPrefix", message: ONE_BRACE }];
    const isCanonical = isCanonicalPath(pathPrefix.replace("{}", "x")) && !pathPrefix.endsWith("/");
    return isCanonical
      ? []
      : [{ pointer: "pathPrefix", message: "is not a canonical path without a final slash" }];
  }
  return [];
}
const BROKERS_CLAIMS = ["iat", "nbf", "exp", "jti"];
const ONE_BRACE = "must contain `{}` exactly once";
const hasOneBrace = (text: string): boolean => text.split("{}").length === 2;

function headerErrors({ header, format }: { header: string; format: string }): PartError[] {
  return [
    ...problemOf("header", isInjectable(header) ? undefined : "may not carry a credential"),
    ...problemOf("format", hasOneBrace(format) ? undefined : ONE_BRACE),
  ];
}

type Hmac = Extract<Injection, { hmac: unknown }>["hmac"];
const TEMPLATE = ["method", "path", "query", "host", "timestamp", "body", "body-sha256"];

function templateErrors({ header, template, timestamp }: Hmac): PartError[] {
  const members = [...template.matchAll(/\{([^{}]*)\}/g)].map(([, name = ""]) => name);
  const unknown = members.find((name) => !TEMPLATE.includes(name));
  const rest = template.replace(/\{[^{}]*\}/g, "");
  const errors: PartError[] = [];
  const wrong = (pointer: string, message: string) => errors.push({ pointer, message });
  if (unknown !== undefined) wrong("template", `has a member other than ${TEMPLATE.join(", ")}`);
  if (/[{}]/.test(rest)) wrong("template", "has a brace that belongs to no member");
  if (members.length === 0)
    wrong("template", "has no member of the request: it would sign the same text always");
  if (members.includes("timestamp") && !timestamp) {
    wrong("timestamp", "is missing: the template signs a timestamp");
  }
  if (timestamp && !isInjectable(timestamp.header)) wrong("timestamp/header", "may not be set");
  if (timestamp?.header.toLowerCase() === header.toLowerCase()) {
    wrong("timestamp/header", "is the header that carries the signature");
  }
  return errors;
}

function grantErrors(grant: Grant, ports: ReadonlySet<number>): PartError[] {
  const errors: PartError[] = [];
  if ("endpoint" in grant) errors.push(...problemOf("endpoint", urlProblem(grant.endpoint, ports)));
  if ("scopes" in grant) errors.push(...repeated("scopes", grant.scopes));
  if (grant.type === "refresh_token" && grant.revocation !== undefined) {
    errors.push(...problemOf("revocation", urlProblem(grant.revocation, ports)));
  }
  if (grant.type === "sts_assume_role") {
    const { sessionPolicy, lifetimeSeconds } = grant;
    if (sessionPolicy !== undefined && !isObject(sessionPolicy)) {
      errors.push({ pointer: "sessionPolicy", message: "is not a JSON object" });
    }
    if (lifetimeSeconds < LEAST_STS_SECONDS) {
      const message = `is less than the shortest session that AWS allows: ${LEAST_STS_SECONDS} seconds`;
      errors.push({ pointer: "lifetimeSeconds", message });
    }
  }
  return [
    ...errors,
    ...repeated("who/groups", grant.who.groups),
    ...repeated("who/subjects", grant.who.subjects),
  ];
}

/** Why a recipe cannot rotate the value of a policy, whatever the recipe says; undefined if it can. */
function unrotatable({ inject, grant }: BrokerPolicy, { type }: Recipe): string | undefined {
  if (grant?.type === "refresh_token") {
    return "is not for a refresh token: its provider replaces it, and both at once would lose it";
  }
  if (type === "rest" && "token" in inject) {
    return "of type rest is not for a policy that injects a token: its requests carry the value itself";
  }
  return undefined;
}

function recipeErrors(recipe: Recipe): PartError[] {
  if (recipe.type === "postgresql") {
    return problemOf("host", originProblem(`https://${recipe.host}`, new Set([443])));
  }
  if (recipe.type !== "rest") return [];
  const { create, check, revoke, id } = recipe;
  const errors = [
    ...under("create", requestErrors(create)),
    ...under("check", requestErrors(check)),
    ...under("revoke", revoke ? requestErrors(withId(revoke)) : []),
  ];
  const namesId = revoke !== undefined && `${revoke.path} ${revoke.body ?? ""}`.includes("{id}");
  if (revoke && !namesId) {
    errors.push({ pointer: "revoke", message: "names no key: write `{id}` into its path or its body" });
  }
  if (namesId && id === undefined) {
    errors.push({ pointer: "id", message: "is missing: `revoke` names the old key by its id" });
  }
  return errors;
}

interface RecipeRequest {
  method: string;
  path: string;
  body?: string;
}

const withId = ({ method, path, body }: RecipeRequest): RecipeRequest => ({
  ...{ method, path: path.replaceAll("{id}", "id") },
  ...(body !== undefined && { body: body.replaceAll("{id}", "id") }),
});

function requestErrors({ method, path, body }: RecipeRequest): PartError[] {
  const errors = problemOf("path", targetProblem(path) && "is not in canonical form, percent-encoded");
  if (body === undefined) return errors;
  if (method === "GET" || method === "HEAD") {
    errors.push({ pointer: "body", message: `is not allowed with ${method}` });
  } else if (!isJson(body)) errors.push({ pointer: "body", message: "is not JSON" });
  return errors;
}

const isObject = (text: string): boolean => /^\s*\{/.test(text) && isJson(text);

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
