import { StrongroomError } from "../shared/errors.ts";
import { type CanonicalPath, encodePath } from "./canonical-path.ts";
import type { QueryRules, Route, Verb } from "./routes.ts";

/** What may be sent on: a route and its verb, and the path and query as they are forwarded. */
export interface Target {
  route: Route;
  verb: Verb;
  path: string;
}

/** A verb that the route does not have; `allow` is what it has, for the header of that name. */
export class MethodNotAllowed extends StrongroomError {
  override name = "MethodNotAllowed";
  readonly allow: string;

  constructor(route: Route) {
    super("method_not_allowed", "This path is not served by that method.");
    const verbs = Object.keys(route.verbs);
    this.allow = (route.name === "secret/metadata" ? [...verbs, "LIST"] : verbs).join(", ");
  }
}

/**
 * Holds a request against the route that was found for its path, and gives its canonical form. Throws
 * `not_found` without a route, {@link MethodNotAllowed}, `invalid_path` or `invalid_request`.
 */
export function authorizePath(route: Route | undefined, method: string, path: CanonicalPath): Target {
  if (!route) throw notListed();
  const verb = Object.hasOwn(route.verbs, method) ? route.verbs[method] : undefined;
  if (!verb) throw new MethodNotAllowed(route);
  const query = checkQuery(path.query, verb.query ?? {});
  const list = query === "list=true";
  // A folder of secrets has nothing to show but its list.
  const top = path.segments.length === route.prefix.length + 1;
  if (route.folder === "list" && top && !list) throw notListed();
  if (path.folder && route.folder !== "always" && !(route.folder === "list" && list)) throw trailingSlash();
  const slash = path.folder ? "/" : "";
  return { route, verb, path: `${encodePath(path.segments)}${slash}${query && `?${query}`}` };
}

/** The query again, once each of its parameters is known and of its form. */
function checkQuery(query: string | undefined, rules: QueryRules): string {
  if (query === undefined) return "";
  const seen = new Set<string>();
  for (const pair of query.split("&")) {
    const [name = "", value = ""] = pair.split("=", 2);
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
    if (!rule) throw badQuery("it has a parameter that this path does not take");
    if (seen.has(name)) throw badQuery(`it has ${name} twice`);
    if (!rule.test(value) || pair.split("=").length > 2) throw badQuery(`the value of ${name} is malformed`);
    seen.add(name);
  }
  return query;
}

const notListed = () => new StrongroomError("not_found", "This path is not served here.");
const trailingSlash = () => new StrongroomError("invalid_path", "The path may not end in a slash here.");
const badQuery = (why: string) => new StrongroomError("invalid_request", `The query is refused: ${why}.`);
