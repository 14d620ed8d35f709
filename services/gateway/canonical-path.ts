import { StrongroomError } from "../shared/errors.ts";

/** A request's path and query in the one form in which they are authorized and forwarded. */
export interface CanonicalPath {
  /** Decoded, without the leading slash's empty one; none for `/`. */
  segments: string[];
  /** Whether the path ended in a slash, as those of folders may. */
  folder: boolean;
  /** What stood behind the `?`; undefined without one. Not yet checked. */
  query: string | undefined;
}

const MAX_LENGTH = 2048;

/** What a name in a path may hold as it stands; a space only between others, and only encoded. */
const LITERAL = /^[A-Za-z0-9._~@+=,:-]+$/;

/** The encodings that some clients use for characters of a name. Any other, `%25` among them, is refused. */
const ENCODED: Record<string, string> = {
  "%20": " ",
  "%40": "@",
  "%2B": "+",
  "%3D": "=",
  "%2C": ",",
  "%3A": ":",
  "%7E": "~",
};

/**
 * Takes the raw target of a request apart. Throws `invalid_path` for all that could be read in two ways:
 * `.`, `..` and empty segments, encoded slashes, dots or percent signs, backslashes, control characters,
 * whatever else is no letter, digit or one of `-._~@+=,:` and space, and what is over-long.
 */
export function canonicalPath(target: string): CanonicalPath {
  if (target.length > MAX_LENGTH) throw invalid(`it is longer than ${MAX_LENGTH} characters`);
  const mark = target.indexOf("?");
  const path = mark === -1 ? target : target.slice(0, mark);
  const query = mark === -1 ? undefined : target.slice(mark + 1);
  if (!path.startsWith("/")) throw invalid("it does not begin with a slash");
  if (path === "/") return { segments: [], folder: true, query };
  const folder = path.endsWith("/");
  const segments = path.slice(1, folder ? -1 : undefined).split("/");
  return { segments: segments.map(decodeSegment), folder, query };
}

function decodeSegment(segment: string): string {
  if (segment === "" || segment === "." || segment === "..") throw invalid("it has an empty, . or .. part");
  if (LITERAL.test(segment)) return segment;
  const decoded = segment.replace(/%../g, (code) => ENCODED[code.toUpperCase()] ?? "%");
  if (!LITERAL.test(decoded.replaceAll(" ", "-")) || segment.includes(" ")) {
    throw invalid("it has a character, or an encoding, that names may not have");
  }
  if (decoded.startsWith(" ") || decoded.endsWith(" ")) throw invalid("a part begins or ends with a space");
  return decoded;
}

/** The canonical text of segments, for a request line. */
export const encodePath = (segments: readonly string[]): string =>
  `/${segments.join("/").replaceAll(" ", "%20")}`;

const invalid = (why: string) => new StrongroomError("invalid_path", `The path is not canonical: ${why}.`);
