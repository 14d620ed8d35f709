import { isInUrl } from "../../shared/broker/inject.ts";
import type { BrokerPolicy } from "../../shared/broker/policy.ts";
import type { Rule } from "../../shared/broker/rules.ts";
import type { PartError } from "../../shared/errors.ts";
import { isPathPattern } from "../../shared/work/destination.ts";

const NO_PATTERN =
  "is not a pattern: a path in canonical percent-encoding, in which `*` is a whole segment and `**` the last one";

/** What is wrong with rules, by pointers such as `rules/0/paths/1`; `inject` is their policy's. */
export function ruleErrors(rules: readonly Rule[], inject: BrokerPolicy["inject"]): PartError[] {
  const ids = rules.map(({ id }) => id);
  return rules.flatMap((rule, index) => {
    const own = [...listErrors(rule), ...urlErrors(rule, inject), ...hoursErrors(rule.hours)];
    if (ids.indexOf(rule.id) < index) own.unshift({ pointer: "id", message: "is another rule's too" });
    return own.map(({ pointer, message }) => ({ pointer: `rules/${index}/${pointer}`, message }));
  });
}

function listErrors({ methods, paths, query, contentTypes, hours, who }: Rule): PartError[] {
  const patterns = paths.flatMap((path, index): PartError[] =>
    isPathPattern(path) ? [] : [{ pointer: `paths/${index}`, message: NO_PATTERN }],
  );
  return [
    ...repeated("methods", methods),
    ...patterns,
    ...repeated("paths", paths),
    ...repeated("query", query),
    ...repeated("contentTypes", contentTypes),
    ...repeated("hours/days", hours?.days),
    ...repeated("who/groups", who.groups),
    ...repeated("who/subjects", who.subjects),
  ];
}

/** The members of a list that stand in it twice. */
export const repeated = (pointer: string, list: readonly string[] = []): PartError[] =>
  list.flatMap((each, index) =>
    list.indexOf(each) < index ? [{ pointer: `${pointer}/${index}`, message: "is listed twice" }] : [],
  );

function urlErrors({ inUrl = false, query = [] }: Rule, inject: BrokerPolicy["inject"]): PartError[] {
  if (inUrl && !isInUrl(inject)) {
    return [
      { pointer: "inUrl", message: "is only for policies whose `inject` puts the credential in the URL" },
    ];
  }
  if (isInUrl(inject) && !inUrl) {
    const message = "must be true: the policy's `inject` puts the credential in the URL";
    return [{ pointer: "inUrl", message }];
  }
  const index = "query" in inject ? query.indexOf(inject.query) : -1;
  return index < 0
    ? []
    : [{ pointer: `query/${index}`, message: "is the member that carries the credential" }];
}

function hoursErrors(hours: Rule["hours"]): PartError[] {
  if (!hours) return [];
  const errors: PartError[] = [];
  if (!isTimeZone(hours.timeZone)) {
    errors.push({
      pointer: "hours/timeZone",
      message: "is not a time zone by its IANA name, such as Europe/Berlin",
    });
  }
  if (hours.from === hours.to) {
    errors.push({ pointer: "hours/to", message: "is the same as `from`: for a whole day leave out `hours`" });
  }
  return errors;
}

function isTimeZone(name: string): boolean {
  try {
    // An offset such as +02:00 is one for Intl, and has no summer time: nobody means that.
    return /^[A-Za-z]/.test(name) && new Intl.DateTimeFormat("en-US", { timeZone: name }) !== undefined;
  } catch {
    return false;
  }
}
