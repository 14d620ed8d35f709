/** Headers that frame a message, or that only the worker sets. */
const OWN = [
  ...["host", "connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade"],
  ...["expect", "accept-encoding", "idempotency-key", "range", "if-range"],
];
const COOKIES = ["cookie", "cookie2"];
/** Headers by which some servers take another method, path or caller than the request line's. */
const OVERRIDES = [
  ...["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"],
  ...["x-original-method", "x-original-host", "x-host", "x-real-ip", "forwarded", "via"],
];
/** Headers by which some destinations read or write another path, too. */
const OTHER_PATHS = ["destination", "x-copy-from", "x-ms-rename-source"];
const PREFIXES = [
  ...["proxy-", "x-forwarded-", "sec-", "webhook-"],
  ...["x-amz-copy-source", "x-goog-copy-source", "x-ms-copy-source"],
];
/** Headers that nobody sets, neither a caller nor a policy. */
const NOBODYS = new Set([...OWN, ...COOKIES, ...OVERRIDES, ...OTHER_PATHS]);
/** Headers that describe a request, so a credential in them would be taken for something else. */
const DESCRIBING = new Set(["content-encoding", "content-type", "origin", "referer", "set-cookie"]);

const isNobodys = (name: string): boolean =>
  NOBODYS.has(name) || PREFIXES.some((prefix) => name.startsWith(prefix));

/** Whether a caller may not set a header, by its name in lower case, in a request that a credential is used for. */
export const isRefusedHeader = (name: string): boolean => name === "authorization" || isNobodys(name);

/** Headers of jobs that a caller of the broker sets: it is sent once, and the caller tries again. */
const PASSED = new Set(["idempotency-key"]);
/** Headers of the caller's own request to the platform. */
const PLATFORMS = ["x-vault-", "strongroom-", "x-amzn-trace-id", "x-request-id"];

/** Whether a caller's header, by its name in lower case, goes with a request that the broker makes. */
export const isPassedHeader = (name: string): boolean =>
  PASSED.has(name) || (!isRefusedHeader(name) && !PLATFORMS.some((prefix) => name.startsWith(prefix)));

/** Whether a policy may name a header, in any case, to carry its credential. */
export function isInjectable(header: string): boolean {
  const name = header.toLowerCase();
  return !isNobodys(name) && !DESCRIBING.has(name) && !name.startsWith("access-control-");
}
