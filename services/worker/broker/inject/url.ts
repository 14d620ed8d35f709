import { UseFailure } from "../use-failure.ts";
import { type Prepared, printable, type Unprepared, unusable } from "./prepared.ts";

/** Servers take 8 KiB for the request line. */
const MOST_PATH = 8_000;
/** What may stand in a path's segment as it is (RFC 3986). Some destinations do not decode what need not be encoded. */
const NOT_IN_PATH = /[^A-Za-z0-9._~!$&'()*+,;=:@/-]/g;

/** Sends the value as a member of the query. */
export function injectQuery(name: string, value: Uint8Array, { path, headers }: Unprepared): Prepared {
  const encoded = encoded3986(printable(value));
  const [, query] = splitPath(path);
  if (query?.split("&").some((member) => decodedName(member) === name)) {
    throw new UseFailure("not_allowed", `the query's member ${name} is the credential's`, { part: "query" });
  }
  return inUrl(`${path}${query === undefined ? "?" : query === "" ? "" : "&"}${name}=${encoded}`, headers, [
    value,
    Buffer.from(encoded, "latin1"),
  ]);
}

/** Puts the value, between the parts of a prefix, before the path. Nothing follows the prefix for the path `/`. */
export function injectPathPrefix(prefix: string, value: Uint8Array, { path, headers }: Unprepared): Prepared {
  const text = printable(value);
  const encoded = text.replace(NOT_IN_PATH, percentEncoded);
  const before = prefix.split("{}").join(encoded);
  if (
    before.split("/").slice(1, -1).includes("") ||
    before.split("/").some((each) => /^\.{1,2}$/.test(each))
  ) {
    throw unusable("the credential would be read as another path");
  }
  const [own, query] = splitPath(path);
  const joined = own === "/" ? before : `${before.replace(/\/$/, "")}${own}`;
  return inUrl(query === undefined ? joined : `${joined}?${query}`, headers, [
    value,
    Buffer.from(encoded, "latin1"),
  ]);
}

function inUrl(path: string, headers: [string, string][], secrets: Uint8Array[]): Prepared {
  if (path.length > MOST_PATH) throw unusable("the URL with the credential would be too long");
  return { path, headers, secrets, inUrl: true };
}

/** The path, and the query without its question mark if there is one. */
export function splitPath(path: string): [path: string, query: string | undefined] {
  const at = path.indexOf("?");
  return at < 0 ? [path, undefined] : [path.slice(0, at), path.slice(at + 1)];
}

const percentEncoded = (character: string): string =>
  `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
const encoded3986 = (text: string): string => text.replace(/[^A-Za-z0-9._~-]/g, percentEncoded);

function decodedName(member: string): string | undefined {
  const [name = ""] = member.split("=");
  try {
    return decodeURIComponent(name.replaceAll("+", " "));
  } catch {
    return undefined;
  }
}
