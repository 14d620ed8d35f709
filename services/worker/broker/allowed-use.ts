import type { UseCall } from "../../shared/broker/calls.ts";
import { injectedHeaders, isInUrl } from "../../shared/broker/inject.ts";
import type { BrokerPolicy } from "../../shared/broker/policy.ts";
import { asRuleRequest } from "../../shared/broker/rule-request.ts";
import { matchRule, type Rule } from "../../shared/broker/rules.ts";
import type { Intent } from "../../shared/receipts/receipt.ts";
import { targetProblem } from "../../shared/work/destination.ts";
import { isPassedHeader } from "../../shared/work/request-headers.ts";
import { checkHeaders } from "../check-headers.ts";
import { JobFailure } from "../job-failure.ts";
import { UseFailure } from "./use-failure.ts";
import type { VerifiedCaller } from "./verified-caller.ts";

export interface AllowedUse {
  rule: Rule;
  /** What the receipt must say, but for a body's digest. */
  intent: Intent;
  /** The caller's headers that go with the request. */
  headers: [name: string, value: string][];
}

/**
 * The rule by which a caller may do what a call asks. Throws UseFailure `not_allowed` with the part that no rule allows, and
 * for a request that could be read in another way. `now` is milliseconds since 1970.
 */
export function allowedUse(call: UseCall, caller: VerifiedCaller, now: number): AllowedUse {
  const { id, request, credential } = call;
  const { policy } = credential;
  const { method, path, body } = request;
  const problem = targetProblem(path);
  if (problem) throw notAllowed("path", problem);
  if (body !== "none" && (method === "GET" || method === "HEAD")) {
    throw notAllowed("method", `a ${method} request may not have a body`);
  }
  const contentType = request.headers.find(([name]) => name.toLowerCase() === "content-type")?.[1];
  const asked = asRuleRequest(method, path, body === "none" ? undefined : { contentType });
  const match = matchRule(policy.rules, caller, asked, now);
  if ("denied" in match) throw notAllowed(match.denied, "no rule of the credential allows this request");
  if (isInUrl(policy.inject) && !match.rule.inUrl) {
    throw notAllowed("inUrl", "the rule does not allow the credential in the URL");
  }
  const { issuer, subject, level } = caller;
  const intent: Intent = {
    ...{ id, action: "use", by: { issuer, subject, level } },
    ...{ credential: credential.name, version: credential.version, host: new URL(policy.origin).host },
    ...{ method, pathPattern: match.pattern, rule: match.rule.id },
    ...(isInUrl(policy.inject) && { inUrl: true }),
  };
  return { rule: match.rule, intent, headers: allowedHeaders(policy, request.headers) };
}

function allowedHeaders({ inject }: BrokerPolicy, given: [string, string][]): [string, string][] {
  try {
    return checkHeaders(given, {
      injected: injectedHeaders(inject),
      isRefused: (name) => !isPassedHeader(name),
      mayRepeat: (name) => name !== "content-type",
    });
  } catch (error) {
    if (error instanceof JobFailure) throw notAllowed("headers", error.message);
    throw error;
  }
}

const notAllowed = (part: string, detail: string) => new UseFailure("not_allowed", detail, { part });
