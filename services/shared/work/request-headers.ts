/** Headers that frame a message, or that only the worker sets. */
const OWN = [
  ...["host", "connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade"],
  ...["expect", "accept-encoding", "idempotency-key", "range", "if-range"],
];
/** Headers that carry a credential: a request has the one of its credential, and no other. */
const CREDENTIALS = ["authorization", "cookie", "cookie2"];
/** Headers by which some servers take another method, path or caller than the request line's. */
const OVERRIDES = [
  ...["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"],
  ...["x-original-method", "x-original-host", "x-host", "x-real-ip", "forwarded", "via"],
];
const PREFIXES = ["proxy-", "x-forwarded-", "sec-", "webhook-"];
const REFUSED = new Set([...OWN, ...CREDENTIALS, ...OVERRIDES]);

/** Whether a caller may not set a header, by its name in lower case, in a request that a credential is used for. */
export const isRefusedHeader = (name: string): boolean =>
  REFUSED.has(name) || PREFIXES.some((prefix) => name.startsWith(prefix));
