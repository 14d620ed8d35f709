import type { CheckedRules, CheckRules } from "../../shared/api/rules.ts";
import { asRuleRequest } from "../../shared/broker/rule-request.ts";
import { matchRule, type Rule, type RuleCaller } from "../../shared/broker/rules.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { isAtLeast } from "../../shared/front/levels.ts";
import { targetProblem } from "../../shared/work/destination.ts";
import { ruleCaller, type UseMember } from "../http/caller.ts";
import { deniedPart } from "./failures.ts";

/** What rules say of a request that is not sent. Throws `invalid_path`, and `forbidden` for another caller unless for an admin. */
export function checkRules(
  rules: readonly Rule[],
  member: UseMember,
  { method, path, contentType, at, as }: CheckRules,
  now: number,
): CheckedRules {
  if (as && !isAtLeast(member.level, "admin")) {
    throw new StrongroomError("forbidden", "Checking for another caller needs the level admin.");
  }
  const problem = targetProblem(path);
  if (problem) throw new StrongroomError("invalid_path", `For the destination, ${problem}.`);
  const time = at === undefined ? now : Date.parse(at);
  if (Number.isNaN(time)) throw new StrongroomError("invalid_request", "`at` is not a time (RFC 3339).");
  const caller: RuleCaller = as
    ? { level: as.level, groups: as.groups ?? [], subject: as.subject ?? "" }
    : ruleCaller(member);
  const request = asRuleRequest(method, path, contentType === undefined ? undefined : { contentType });
  const match = matchRule(rules, caller, request, time);
  if ("rule" in match) return { allowed: true, rule: match.rule.id, pattern: match.pattern };
  return { allowed: false, part: match.denied, message: deniedPart(match.denied).message };
}
