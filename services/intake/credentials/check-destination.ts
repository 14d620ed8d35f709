import { type PartError, StrongroomError } from "../../shared/errors.ts";
import { type DestinationPolicy, isPathPattern, parseOrigin } from "../../shared/work/destination.ts";
import { isInjectable } from "../../shared/work/request-headers.ts";

/**
 * Refuses a destination to which no credential may be sent, before anything is stored. Throws `invalid_destination`
 * with what is wrong, by part.
 */
export function checkDestination(policy: DestinationPolicy, ports: ReadonlySet<number>): void {
  const errors: PartError[] = [];
  const wrong = (part: string, message: string) =>
    errors.push({ pointer: `/body/destination/${part}`, message });

  const problem = originProblem(policy.origin, ports);
  if (problem) wrong("origin", problem);
  for (const [index, method] of policy.methods.entries()) {
    if (policy.methods.indexOf(method) < index) wrong(`methods/${index}`, "is listed twice");
  }
  for (const [index, path] of policy.paths.entries()) {
    if (isPathPattern(path)) continue;
    wrong(
      `paths/${index}`,
      "is not a pattern: a path in canonical percent-encoding, in which `*` is a whole segment and `**` the last one",
    );
  }
  const { inject } = policy;
  if ("signature" in inject) wrong("inject/signature", "is for webhooks only; name a header");
  else {
    if (!isInjectable(inject.header)) wrong("inject/header", "may not carry a credential");
    if (inject.format.split("{}").length !== 2) wrong("inject/format", "must contain `{}` exactly once");
  }
  if (errors.length === 0) return;
  throw new StrongroomError("invalid_destination", "The destination is not allowed. See `errors`.", {
    errors,
  });
}

/**
 * The origin and the path with query of a webhook's or a feed's URL. Throws `invalid_destination` with what is wrong.
 */
export function checkUrl(url: string, ports: ReadonlySet<number>): { origin: string; path: string } {
  const problem = urlProblem(url, ports);
  if (problem) {
    throw new StrongroomError("invalid_destination", `The URL ${problem}.`, {
      errors: [{ pointer: "/body/url", message: problem }],
    });
  }
  const [, origin = "", path = ""] = /^(https:\/\/[^/?#]*)(.*)$/.exec(url) ?? [];
  return { origin, path: path.startsWith("/") ? path : `/${path}` };
}

/** What is wrong with a URL; undefined if nothing is. */
export function urlProblem(url: string, ports: ReadonlySet<number>): string | undefined {
  if (/[^\x21-\x7e]/.test(url))
    return "contains characters that must be percent-encoded (host names: punycode)";
  if (url.includes("#")) return "has a fragment";
  const [, origin, path = ""] = /^(https:\/\/[^/?#]*)(.*)$/.exec(url) ?? [];
  if (origin === undefined) return "does not begin with https://";
  const problem = originProblem(origin, ports);
  if (problem) return problem;
  if (!URL.canParse(url)) return "is not a URL";
  const { pathname, search } = new URL(url);
  // One spelling: what was checked is what the worker sends.
  return `${pathname}${search}` === (path.startsWith("/") ? path : `/${path}`)
    ? undefined
    : "is not in canonical form: write its path without dot segments, and with percent-encoding";
}

/** What is wrong with an origin; undefined if nothing is. */
export function originProblem(origin: string, ports: ReadonlySet<number>): string | undefined {
  if (/[^\x21-\x7e]/.test(origin)) {
    return "contains white space or characters beyond ASCII: write an international name in punycode";
  }
  if (!origin.startsWith("https://")) return "does not begin with https:// (lower case)";
  const rest = origin.slice("https://".length);
  if (rest.includes("@")) return "has user information";
  if (rest.includes("#")) return "has a fragment";
  if (/[/?\\]/.test(rest)) return "has a path or a query: write the origin alone, without a final slash";
  if (rest.includes("*")) return "has a wildcard";
  if (rest !== rest.toLowerCase()) return "has upper-case letters";
  const host = rest.replace(/:[0-9]*$/, "");
  if (isAddress(host)) return "is an IP address: name a host";
  if (!host.includes(".")) return "is not a full host name: it has no dot";
  const parsed = parseOrigin(origin);
  if (!parsed) {
    const isPortWrong = parseOrigin(`https://${host}`) !== undefined;
    return isPortWrong
      ? "has a port that is not in its one spelling (443 is left out)"
      : "is not a DNS host name in its one spelling";
  }
  const allowed = [...ports].join(", ");
  return ports.has(parsed.port) ? undefined : `has a port other than ${allowed}`;
}

/** An address in any of the notations that URL parsers or resolvers take for one. */
function isAddress(host: string): boolean {
  if (host.startsWith("[") || host.includes(":")) return true;
  const [last = ""] = host.replace(/\.$/, "").split(".").slice(-1);
  return /^(0x[0-9a-f]*|[0-9]+)$/.test(last);
}
