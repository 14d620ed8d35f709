import type { RuleRequest } from "./rules.ts";

/** What rules see of a request: `target` is its path and query, in canonical form. */
export function asRuleRequest(
  method: string,
  target: string,
  body: { contentType: string | undefined } | undefined,
): RuleRequest {
  const cut = target.indexOf("?");
  return {
    method,
    path: cut < 0 ? target : target.slice(0, cut),
    query: cut < 0 ? [] : queryNames(target.slice(cut + 1)),
    contentType: body && mediaType(body.contentType ?? ""),
  };
}

/** The names of a query's members. Some servers split at semicolons too, so each is taken for what it could be. */
const queryNames = (query: string): string[] =>
  query
    .split(/[&;]/)
    .filter((member) => member !== "")
    .map((member) => decoded(member.split("=", 1)[0] ?? ""));

/** A name that cannot be decoded stays as it is, which no rule allows. */
function decoded(name: string): string {
  try {
    return decodeURIComponent(name.replaceAll("+", " "));
  } catch {
    return name;
  }
}

/** The media type of a Content-Type in lower case, without its parameters. */
const mediaType = (contentType: string): string => (contentType.split(";", 1)[0] ?? "").trim().toLowerCase();
