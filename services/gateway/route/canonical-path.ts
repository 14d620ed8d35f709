import { StrongroomError } from "../../shared/errors.ts";

/** A request's path and query in the one form in which they are authorized and forwarded. */
export interface CanonicalPath {
  /** Decoded, without the leading slash's empty one; none for `/`. */
  segments: string[];
  /** The segments as one text for a request line, without a slash at its end but that of `/`. */
  text: string;
  /** Whether the path ended in a slash, as those of folders may. */
  folder: boolean;
  /** What stood behind the `?`; undefined without one. Not yet checked. */
  query: string | undefined;
}

const MAX_LENGTH = 2048;

/** A path that is its own canonical form, but for dots. Most are: nothing is decoded or encoded for them. */
const LITERAL = /^(?:\/[A-Za-z0-9._~@+=,:-]+)+\/?$/;
const DOTS = /\/\.\.?(?:\/|$)/;

/**
 * Takes the raw target of a request apart: decodes it once, splits it at the slashes and encodes it again, so that
 * of each name there is one form, whichever way it came. Throws `invalid_path` for all that could be read in two
 * ways, and for what Vault itself takes for no name: see {@link decode} and {@link checkName}.
 */
export function canonicalPath(target: string): CanonicalPath {
  if (target.length > MAX_LENGTH) throw invalid(`it is longer than ${MAX_LENGTH} characters`);
  const mark = target.indexOf("?");
  const path = mark === -1 ? target : target.slice(0, mark);
  const query = mark === -1 ? undefined : target.slice(mark + 1);
  if (path === "/") return { segments: [], text: "/", folder: true, query };
  if (!LITERAL.test(path)) return decodedPath(path, query);
  if (DOTS.test(path)) throw dotted();
  const folder = path.endsWith("/");
  const text = folder ? path.slice(0, -1) : path;
  return { segments: text.slice(1).split("/"), text, folder, query };
}

function decodedPath(path: string, query: string | undefined): CanonicalPath {
  const decoded = decode(path);
  if (!decoded.startsWith("/")) throw invalid("it does not begin with a slash");
  // Clients that put a slash behind a folder's name, and the name in a template, ask for `metadata//`.
  const named = decoded.replace(/\/\/?$/, "");
  const segments = named.slice(1).split("/");
  for (const segment of segments) checkName(segment);
  const text = `/${segments.map(encodeName).join("/")}`;
  return { segments, text, folder: named !== decoded, query };
}

/** What is read as something else by some, and cannot come from a client that encodes: a fragment, a slash. */
const TWO_READINGS = /[#\\]/;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A path decoded once, from the characters that Node makes of its bytes. */
function decode(path: string): string {
  if (TWO_READINGS.test(path)) throw invalid("a # or \\ in it must be encoded");
  const bytes = path.replace(/%([0-9A-Fa-f]{2})|%|[^\0-\xff]/g, (_code, hex: string | undefined) => {
    if (hex === undefined) throw invalid("it has an encoding that is broken");
    return String.fromCharCode(Number.parseInt(hex, 16));
  });
  try {
    return utf8.decode(Buffer.from(bytes, "latin1"));
  } catch {
    throw invalid("it is not UTF-8");
  }
}

/** What Vault takes in a path: what can be printed, and of spaces the usual one. */
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]+$/u;
/** What would be decoded again by whoever decodes twice. */
const STILL_ENCODED = /%(?:[0-9A-Fa-f]{2}|u)/i;

function checkName(name: string): void {
  // Some take a backslash for a slash.
  if (name === "" || name.split("\\").some((part) => part === "." || part === "..")) throw dotted();
  if (!PRINTABLE.test(name)) throw invalid("it has a character that cannot be printed");
  if (STILL_ENCODED.test(name)) throw invalid("it is encoded twice");
}

/** A name as it is forwarded: letters, digits and `-._~@+=,:` as they are, all else as UTF-8 in capital hex digits. */
const encodeName = (name: string): string =>
  encodeURIComponent(name)
    .replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)
    .replace(/%(?:40|2B|3D|2C|3A)/g, decodeURIComponent);

const dotted = () => invalid("it has an empty, . or .. part");
const invalid = (why: string) => new StrongroomError("invalid_path", `The path is not canonical: ${why}.`);
