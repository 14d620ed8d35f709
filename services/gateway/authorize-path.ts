import { StrongroomError } from "../shared/errors.ts";
import type { CanonicalPath } from "./canonical-path.ts";
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
    this.allow = (route.folder === "list" ? [...verbs, "LIST"] : verbs).join(", ");
  }
}

/**
 * Holds a request against the route that was found for its path, and gives its canonical form. Throws
 * `not_served` without a route, {@link MethodNotAllowed}, `invalid_path` or `invalid_request`.
 */
export function authorizePath(route: Route | undefined, method: string, path: CanonicalPath): Target {
  if (!route) throw notServed(path);
  const verb = Object.hasOwn(route.verbs, method) ? route.verbs[method] : undefined;
  if (!verb) throw new MethodNotAllowed(route);
  const query = path.query ? canonicalQuery(path.query, route, method, verb.query ?? {}) : "";
  const list = query === "list=true";
  // A folder has nothing to show but its list.
  const top = path.segments.length === route.prefix.length + 1;
  if (route.folder === "list" && top && !list) throw notServed(path);
  if (path.folder && route.folder !== "always" && !list) throw trailingSlash();
  const slash = path.folder ? "/" : "";
  return { route, verb, path: `${path.text}${slash}${query && `?${query}`}` };
}

/** What Vault takes for true and for false: Go's ParseBool. */
const TRUE = /^(?:1|t|T|TRUE|true|True)$/;
const FALSE = /^(?:0|f|F|FALSE|false|False)?$/;
/** Vault reads from a snapshot by these, whatever the path. */
const SNAPSHOTS = /^(?:read|recover)_snapshot_id$/;

/**
 * The parameters that the path has, as they are forwarded: each once and of its form, in their own order. Others
 * are left out, as Vault ignores them, but for those that would have it do something else.
 */
function canonicalQuery(query: string, route: Route, method: string, rules: QueryRules): string {
  const taken = new Map<string, string>();
  for (const [name, value] of parameters(query)) {
    if (name === "help" && value !== "") throw noHelp();
    if (SNAPSHOTS.test(name)) throw badQuery(`${name} is not served here`);
    const list = name === "list" && method === "GET";
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
    if (!list && !rule) continue;
    if (taken.has(name)) throw badQuery(`it has ${name} twice`);
    if (list && !TRUE.test(value) && !FALSE.test(value)) throw badQuery("the value of list is malformed");
    if (list && TRUE.test(value) && route.folder !== "list") throw badQuery("this path has no list");
    if (rule && value !== "" && !rule.test(value)) throw badQuery(`the value of ${name} is malformed`);
    taken.set(name, value);
  }
  if (TRUE.test(taken.get("list") ?? "")) return "list=true";
  taken.delete("list");
  const given = [...taken].filter(([, value]) => value !== "");
  return given.map(([name, value]) => `${name}=${value}`).join("&");
}

/** The parameters of a query, decoded. What readers split or decode differently is refused. */
function parameters(query: string): [name: string, value: string][] {
  if (query.includes(";")) throw badQuery("it has a semicolon");
  return query.split("&").map((pair) => {
    const at = pair.indexOf("=");
    const [name, value] = at === -1 ? [pair, ""] : [pair.slice(0, at), pair.slice(at + 1)];
    return [decodeParameter(name), decodeParameter(value)];
  });
}

function decodeParameter(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw badQuery("it has an encoding that is broken");
  }
}

const NOT_SERVED = "This path is not served here. docs/compatibility.md lists those that are.";
const CREATE =
  "Tokens are not made by this path. The JWT is the token itself (Terraform: skip_child_token = true); " +
  "for a machine, an admin makes one with: vault token create -role=machine -policy=reader.";

/** A path that is not listed. Vault's 404 would say that there is nothing there. */
function notServed({ segments }: CanonicalPath): StrongroomError {
  const creates = /^v1\/auth\/token\/create(?:-orphan)?(?:\/|$)/.test(segments.join("/"));
  return new StrongroomError("not_served", creates ? CREATE : NOT_SERVED);
}

const noHelp = () =>
  new StrongroomError("not_served", "Help is not served here. docs/compatibility.md lists what is.");
const trailingSlash = () => new StrongroomError("invalid_path", "The path may not end in a slash here.");
const badQuery = (why: string) => new StrongroomError("invalid_request", `The query is refused: ${why}.`);
