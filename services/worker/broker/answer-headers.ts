import type { Scrubber } from "../scrub/scrubber.ts";
import { UseFailure } from "./use-failure.ts";

type Header = [name: string, value: string];

const MOST_HEADERS = 100;
const MOST_BYTES = 32_768;

const DROPPED = new Set([
  // About the connection, or the framing, which the answer gets anew.
  ...["connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "upgrade"],
  ...["trailer", "te", "alt-svc", "http2-settings"],
  // As good as the credential that earned them.
  ...["set-cookie", "set-cookie2", "authorization", "authentication-info"],
  // For the destination's own address, while the caller talks to the platform's.
  ...["strict-transport-security", "clear-site-data", "public-key-pins", "expect-ct", "refresh"],
  ...["report-to", "reporting-endpoints", "nel", "service-worker-allowed", "sourcemap", "x-sourcemap"],
  // Orders to a proxy before the platform.
  ...["x-sendfile", "x-lighttpd-send-file", "x-reproxy-url"],
]);
/** Proxies', browsers' cross-origin rules, nginx's orders; and what the platform itself says of an answer. */
const DROPPED_PREFIXES = ["proxy-", "access-control-", "x-accel-", "strongroom-"];
const NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/;

/**
 * The headers of a destination's answer that pass to the caller, without the credential. `Location` becomes absolute, since
 * the caller would take a relative one for the platform's, and loses its user and members that are tokens; one that leads to
 * another origin stays, and the caller decides. Throws UseFailure `answer_unusable` if they are too many or too large.
 */
export function answerHeaders(raw: readonly Header[], scrubber: Scrubber, origin: string): Header[] {
  const named = new Set(
    raw
      .filter(([name]) => name.toLowerCase() === "connection")
      .flatMap(([, value]) =>
        value
          .toLowerCase()
          .split(",")
          .map((each) => each.trim()),
      ),
  );
  const passed = raw.flatMap(([name, value]): Header[] => {
    const lower = name.toLowerCase();
    if (!NAME.test(name) || named.has(lower) || isDropped(lower)) return [];
    if (lower !== "location" && lower !== "content-location") return [[name, value]];
    const location = locationOf(value, origin);
    return location === undefined ? [] : [[name, location]];
  });
  const size = passed.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
  if (passed.length > MOST_HEADERS || size > MOST_BYTES) {
    throw new UseFailure("answer_unusable", "the answer's headers are too many or too large");
  }
  return scrubbed(passed, scrubber);
}

const isDropped = (name: string): boolean =>
  DROPPED.has(name) || DROPPED_PREFIXES.some((prefix) => name.startsWith(prefix));

/** All in one search, and one by one only if there is something to remove. */
function scrubbed(headers: Header[], scrubber: Scrubber): Header[] {
  // No escape goes on over a NUL, which no header contains.
  if (!scrubber.finds(headers.flat().join("\0"))) return headers;
  return headers.flatMap(([name, value]): Header[] => {
    const scrubbedName = scrubber.scrubText(name);
    return scrubbedName === name ? [[name, scrubber.scrubText(value)]] : [];
  });
}

/** Members of a query or fragment that are as good as a credential, or that are exchanged for one. */
const TOKENS = new Set([
  ...["access_token", "refresh_token", "id_token", "token", "auth_token", "oauth_token", "oauth_verifier"],
  ...["code", "device_code", "user_code", "key", "api_key", "apikey", "api-key", "access_key", "secret"],
  ...["client_secret", "password", "passwd", "pwd", "pass", "auth", "authorization", "jwt", "assertion"],
  ...[
    "client_assertion",
    "samlresponse",
    "samlart",
    "ticket",
    "otp",
    "session",
    "sessionid",
    "session_id",
    "sid",
  ],
  ...["sig", "signature", "hmac", "x-amz-signature", "x-amz-security-token", "x-amz-credential"],
  ...["x-goog-signature", "x-goog-credential", "awsaccesskeyid", "subscription-key"],
]);

/** A location without user, password and tokens; undefined if it is no URL. */
function locationOf(value: string, origin: string): string | undefined {
  // The caller resolves it as the destination means it, since the caller's path has the destination's at its end.
  if (!/^(?:[a-z][a-z0-9+.-]*:|[/\\])/i.test(value)) return withoutTokens(value);
  const url = URL.parse(value, origin);
  if (!url) return undefined;
  url.username = "";
  url.password = "";
  return withoutTokens(url.href);
}

/** Fragments are written like queries, or have one of their own behind a question mark. */
function withoutTokens(location: string): string {
  const [path = "", ...members] = location.split(/([?#&;])/);
  let kept = path;
  for (let at = 0; at < members.length; at += 2) {
    const [separator, member = ""] = members.slice(at, at + 2);
    if (!isToken(member)) kept += `${separator}${member}`;
    // What begins the query or the fragment stays for the next.
    else if (separator === "?" || separator === "#") kept += separator;
  }
  return kept === location
    ? location
    : kept
        .replace(/([?#])[&;]/g, "$1")
        .replace(/[?#]+$/, "")
        .replace(/\?#/, "#");
}

function isToken(member: string): boolean {
  const at = member.indexOf("=");
  if (at < 0) return false;
  const name = member.slice(0, at).replaceAll("+", " ");
  try {
    return TOKENS.has(decodeURIComponent(name).trim().toLowerCase());
  } catch {
    return true;
  }
}
