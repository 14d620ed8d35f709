import type { Way } from "./way.ts";

const asking = (way: string, request: object, failure: Way["failure"] = "request_not_allowed"): Way => ({
  way: `request: ${way}`,
  failure,
  message: ({ thief, victim }) => thief.use(victim, request),
});
const path = (spelled: string): Way => asking(`path ${JSON.stringify(spelled)}`, { path: spelled });
const header = (name: string, value = "a", failure?: Way["failure"]): Way =>
  asking(`header ${JSON.stringify(name)}`, { headers: { [name]: value } }, failure);

/** Requests with the victim's credential, under its true policy, that the policy does not allow or that could be read in two ways. */
export const requests: Way[] = [
  ...["/", "/v2/charges", "/V1/charges", "/v1/../admin", "/v1/./charges", "/v1/..", "/v1/a/../../admin"],
  ...["/v1/%2e%2e/admin", "/v1/.%2e/admin", "/v1/%2E%2E%2Fadmin", "/v1/..%2fadmin", "/v1%2fcharges"],
  ...["/v1/..;/admin", "/v1/%2e%2e;a=b/admin", "/v1/..%3b/admin", "/v1/..\\admin", "/v1/%5c..%5cadmin"],
  ...["/v1/%252e%252e/admin", "/v1/%00", "/v1/%0d%0aX-Echo:a", "/v1/\r\nX-Echo: a", "/v1/\n", "/v1/a b"],
  ...["/v1//charges", "//elsewhere.example/v1/charges", "/\\elsewhere.example/v1/charges", "/v1/charges#a"],
  ...["/v1/charges?a=b HTTP/1.1\r\nHost: elsewhere.example", "/v1/charges?a\u0000", "/v1/é", "/v1/charges?é"],
  ...[
    "/v1/%zz",
    "/v1/%",
    "/v1/charges?%zz",
    "/v1/charges?a=b#c",
    "/v1/charges\t",
    "/v1/@elsewhere.example:443/..",
  ],
]
  .map(path)
  .concat([
    asking("absolute form", { path: "https://elsewhere.example/v1/charges" }, "malformed"),
    asking("authority form", { path: "elsewhere.example:443" }, "malformed"),
    asking("asterisk form", { path: "*" }, "malformed"),
    asking("an empty path", { path: "" }, "malformed"),
    asking("a method that the policy does not have", { method: "DELETE" }),
    asking("a method in lower case", { method: "get" }, "malformed"),
    asking("the method CONNECT", { method: "CONNECT" }, "malformed"),
    asking("the method TRACE", { method: "TRACE" }, "malformed"),
    asking("a method with a line break", { method: "GET / HTTP/1.1\r\nA: b" }, "malformed"),
    asking("a body with GET", { body: "e30=" }),
    asking("a host of its own", { host: "elsewhere.example" }, "malformed"),
    asking("an origin of its own", { origin: "https://elsewhere.example" }, "malformed"),
    asking("headers in a list", { headers: [["Host", "elsewhere.example"]] }, "malformed"),
    asking("a header twice", { headers: { "X-A": "a", "x-a": "b" } }),
    asking("the injected header in another case", { headers: { AUTHORIZATION: "Bearer mine" } }),
    asking("a header's value with a line break", { headers: { "X-A": "a\r\nHost: elsewhere.example" } }),
    asking("a header's value with a NUL", { headers: { "X-A": "a\u0000" } }),
    asking("a header's value beyond Latin-1", { headers: { "X-A": "\u560d\u560aHost: a" } }),
    asking("too many headers", {
      headers: Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`X-A${index}`, "a"])),
    }),
  ])
  .concat(
    [
      "Host",
      "Authorization",
      "Cookie",
      "Connection",
      "Keep-Alive",
      "Transfer-Encoding",
      "Content-Length",
    ].map((name) => header(name)),
    ["TE", "Trailer", "Upgrade", "Expect", "Accept-Encoding", "Idempotency-Key", "Range"].map((name) =>
      header(name),
    ),
    [
      "Proxy-Authorization",
      "Proxy-Connection",
      "X-Forwarded-Host",
      "X-Forwarded-For",
      "Forwarded",
      "Via",
    ].map((name) => header(name)),
    ["X-HTTP-Method-Override", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL", "X-Host"].map((name) =>
      header(name),
    ),
    ["webhook-signature", "webhook-id", "Sec-WebSocket-Key", "hOsT"].map((name) => header(name)),
    ["Transfer_Encoding", "Host ", "Host:", "X-A\r\nHost", " Host", "__proto__", "", ":authority"].map(
      (name) => header(name, "a", "malformed"),
    ),
  );
