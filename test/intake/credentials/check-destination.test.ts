import { describe, expect, test } from "vitest";
import { checkDestination, checkUrl } from "../../../services/intake/credentials/check-destination.ts";
import type { StrongroomError } from "../../../services/shared/errors.ts";
import type { DestinationPolicy } from "../../../services/shared/work/destination.ts";

const PORTS = new Set([443, 8443]);
const policy = (changes: Partial<DestinationPolicy> = {}): DestinationPolicy => ({
  origin: "https://api.example.com",
  methods: ["GET"],
  paths: ["/v1/**"],
  inject: { header: "Authorization", format: "Bearer {}" },
  ...changes,
});

/** The parts that are wrong, with why. */
function problems(run: () => unknown): Record<string, string> {
  try {
    run();
  } catch (error) {
    const { code, errors } = error as StrongroomError;
    expect(code).toBe("invalid_destination");
    return Object.fromEntries((errors ?? []).map(({ pointer, message }) => [pointer, message]));
  }
  return {};
}
const wrong = (changes: Partial<DestinationPolicy>) =>
  problems(() => checkDestination(policy(changes), PORTS));

describe("an origin", () => {
  test.each([
    "https://api.example.com",
    "https://api.example.com:8443",
    "https://xn--bcher-kva.example",
    "https://a-b.co.uk",
  ])("%s is taken", (origin) => expect(wrong({ origin })).toEqual({}));

  test.each([
    ["http://api.example.com", "https://"],
    ["HTTPS://api.example.com", "https://"],
    ["ftp://api.example.com", "https://"],
    ["api.example.com", "https://"],
    ["", "https://"],
    ["https://API.example.com", "upper-case"],
    ["https://user@api.example.com", "user information"],
    ["https://user:pw@api.example.com", "user information"],
    ["https://api.example.com#f", "fragment"],
    ["https://api.example.com/", "path"],
    ["https://api.example.com/v1", "path"],
    ["https://api.example.com?a", "query"],
    ["https://api.example.com\\@evil.example", "user information"],
    ["https://api.example.com\\x", "path"],
    ["https://*.example.com", "wildcard"],
    ["https://bücher.example", "punycode"],
    ["https://api.example.com.", "DNS host name"],
    ["https://api..example.com", "DNS host name"],
    ["https://-api.example.com", "DNS host name"],
    ["https://api_x.example.com", "DNS host name"],
    ["https://localhost", "no dot"],
    ["https://internal:8443", "no dot"],
    ["https://", "no dot"],
    ["https://127.0.0.1", "IP address"],
    ["https://127.0.0.1:8443", "IP address"],
    ["https://127.1", "IP address"],
    ["https://2130706433", "IP address"],
    ["https://0x7f000001", "IP address"],
    ["https://0x7f.0.0.1", "IP address"],
    ["https://0177.0.0.1", "IP address"],
    ["https://169.254.169.254", "IP address"],
    ["https://169.254.169.254.", "IP address"],
    ["https://[::1]", "IP address"],
    ["https://[::ffff:127.0.0.1]:8443", "IP address"],
    ["https://::1", "IP address"],
    ["https://api.example.com:443", "one spelling"],
    ["https://api.example.com:08443", "one spelling"],
    ["https://api.example.com:99999", "one spelling"],
    ["https://api.example.com:", "one spelling"],
    ["https://api.example.com:80", "port other than 443, 8443"],
    ["https://api.example.com:22", "port other than 443, 8443"],
    [" https://api.example.com", "white space"],
    ["https://api.example.com\n", "white space"],
    ["https://api.example.com\t", "white space"],
  ])("%j is refused: %s", (origin, why) => {
    const found = wrong({ origin });
    expect(Object.keys(found)).toEqual(["/body/destination/origin"]);
    expect(found["/body/destination/origin"]).toContain(why);
  });
});

test.each(["/v1/*/x", "/**", "/", "/v1/a%20b", "/v1/"])("the path pattern %s is taken", (path) =>
  expect(wrong({ paths: [path] })).toEqual({}));

test.each([
  "/v1/../x",
  "/v1//x",
  "/v1/%2e%2e/x",
  "/v1/%2fx",
  "/v1/x*",
  "/**/x",
  "/v1?x",
  "/v1#x",
  "/v1/ü",
  "/a\\b",
])("the path pattern %s is refused", (path) =>
  expect(Object.keys(wrong({ paths: ["/ok", path] }))).toEqual(["/body/destination/paths/1"]));

test.each([
  ...["Host", "connection", "Content-Length", "Transfer-Encoding", "TE", "Cookie", "Upgrade", "Expect"],
  ...["Proxy-Authorization", "Sec-Fetch-Site", "X-Forwarded-For", "Idempotency-Key", "webhook-signature"],
])("no credential goes into the header %s", (header) =>
  expect(Object.keys(wrong({ inject: { header, format: "{}" } }))).toEqual([
    "/body/destination/inject/header",
  ]));

test("the format has one place for the credential", () => {
  const found = wrong({ inject: { header: "X-Api-Key", format: "{} {}" } });
  expect(Object.keys(found)).toEqual(["/body/destination/inject/format"]);
  expect(wrong({ inject: { header: "X-Api-Key", format: "{}" } })).toEqual({});
});

test("everything wrong is told at once", () => {
  const found = wrong({
    ...{ origin: "http://x", methods: ["GET", "GET"], paths: ["/a//b"] },
    inject: { signature: "standard-webhooks" },
  });
  expect(Object.keys(found).map((pointer) => pointer.replace("/body/destination/", ""))).toEqual([
    ...["origin", "methods/1", "paths/0", "inject/signature"],
  ]);
});

describe("a URL", () => {
  test.each([
    ["https://hooks.example.com", "https://hooks.example.com", "/"],
    ["https://hooks.example.com:8443/in?a=b&c", "https://hooks.example.com:8443", "/in?a=b&c"],
    ["https://hooks.example.com?a", "https://hooks.example.com", "/?a"],
  ])("%s is an origin and a path", (url, origin, path) =>
    expect(checkUrl(url, PORTS)).toEqual({ origin, path }));

  test.each([
    ...["http://hooks.example.com/", "https://hooks.example.com/#f", "https://u@hooks.example.com/"],
    ...[
      "https://127.0.0.1/",
      "https://hooks/",
      "https://hooks.example.com:80/",
      "https://hooks.example.com/a/../b",
    ],
    ...[
      "https://hooks.example.com/a b",
      "https://hooks.example.com/ü",
      "https://Hooks.example.com/",
      "file:///etc/passwd",
    ],
    ...["https://hooks.example.com/a\\b", "https://[::1]/", "", "https://hooks.example.com/%2e%2e/x"],
  ])("%j is refused", (url) =>
    expect(Object.keys(problems(() => checkUrl(url, PORTS)))).toEqual(["/body/url"]));
});
