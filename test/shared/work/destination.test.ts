import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  canonicalPolicy,
  type DestinationPolicy,
  forbiddenByPolicy,
  isCanonicalPath,
  isPathPattern,
  matchesPattern,
  parseOrigin,
  policyHash,
} from "../../../services/shared/work/destination.ts";

describe("an origin", () => {
  test.each([
    ["https://api.example", { host: "api.example", port: 443 }],
    ["https://api.example:8443", { host: "api.example", port: 8443 }],
    ["https://xn--bcher-kva.example", { host: "xn--bcher-kva.example", port: 443 }],
    ["https://1.a", { host: "1.a", port: 443 }],
  ])("%s", (text, origin) => {
    expect(parseOrigin(text)).toEqual(origin);
  });

  test.each([
    ...["http://api.example", "https://api.example/", "https://api.example:443", "https://API.example"],
    ...["https://api", "https://api.example.", "https://127.0.0.1", "https://[::1]", "https://a@api.example"],
    ...["https://*.example", "https://api.example#", "https://api.example:0", "https://api.example:70000"],
    ...["https://api.0x7f", "https://api.1", "https://bücher.example"],
  ])("%s is none", (text) => {
    expect(parseOrigin(text)).toBeUndefined();
  });

  test("whatever is one is what a URL parser reads, too", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.webUrl(),
          fc.string(),
          fc.domain().map((name) => `https://${name}`),
        ),
        (text) => {
          const origin = parseOrigin(text);
          if (!origin) return;
          const url = new URL(text);
          expect(url.origin).toBe(text);
          expect(url.hostname).toBe(origin.host);
          expect(url.port).toBe(origin.port === 443 ? "" : String(origin.port));
        },
      ),
    );
  });
});

describe("a path", () => {
  test.each([
    ...[
      "/",
      "/v1",
      "/v1/",
      "/v1/a.b/c~d",
      "/v1/a%20b",
      "/v1/%C3%A9",
      "/v1/a:b@c",
      "/v1/...",
      "/a/b;c=d",
      "/v1/..a",
      "/v1/a%E2%80%A6.txt",
      "/v1/%F0%9F%98%80",
    ],
  ])("%s is canonical", (path) => {
    expect(isCanonicalPath(path)).toBe(true);
  });

  test.each([
    ...[
      "",
      "v1",
      "//",
      "//v1",
      "/v1//a",
      "/v1//",
      "/.",
      "/..",
      "/v1/.",
      "/v1/../a",
      "/v1/./a",
      "/%2e",
      "/%2E%2e/a",
    ],
    ...[
      "/.%2e/a",
      "/v1/..;/a",
      "/v1/..;x=1/a",
      "/v1/%2e%2e%3b/a",
      "/a%2fb",
      "/a%2Fb",
      "/a%5cb",
      "/a\\b",
      "/a%00",
    ],
    ...[
      "/a%0d%0ab",
      "/a%7f",
      "/a%252e",
      "/a%25",
      "/a%",
      "/a%g1",
      "/a b",
      "/a?b",
      "/a#b",
      "/é",
      "/a\n",
      '/a"b',
      "/a|b",
    ],
    // No UTF-8; then what NFKC makes dots, a slash, a backslash or a percent sign of.
    ...["/%c0%ae%c0%ae/a", "/..%c0%afa", "/a%ff", "/a%c3", "/%ed%a0%80", "/%f0%80%80%ae/a"],
    ...[
      "/%ef%bc%8e%ef%bc%8e/a",
      "/a%ef%bc%8fb",
      "/%e2%80%a5/a",
      "/a%ef%bc%bcb",
      "/a%ef%bc%852e",
      "/a%ef%bc%9fb",
    ],
  ])("%s is not", (path) => {
    expect(isCanonicalPath(path)).toBe(false);
  });

  test("a canonical one stays what it is in a URL parser", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^(\/[a-c.%25eEfF;*]{0,6}){0,4}$/), (path) => {
        fc.pre(isCanonicalPath(path));
        expect(new URL(path, "https://api.example").pathname).toBe(path);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("a pattern", () => {
  test.each([
    ["/v1/charges", "/v1/charges", true],
    ["/v1/charges", "/v1/charges/", false],
    ["/v1/charges", "/v1/Charges", false],
    ["/v1/charges", "/v1/char%67es", false],
    ["/v1/*", "/v1/a", true],
    ["/v1/*", "/v1/", false],
    ["/v1/*", "/v1/a/b", false],
    ["/v1/*/refunds", "/v1/ch_1/refunds", true],
    ["/v1/*/refunds", "/v1/a/b/refunds", false],
    ["/v1/**", "/v1", true],
    ["/v1/**", "/v1/", true],
    ["/v1/**", "/v1/a/b/", true],
    ["/v1/**", "/v10/a", false],
    ["/**", "/", true],
    ["/**", "/a/../b", false],
    ["/v1/../**", "/v1/a", false],
    ["/v1/a*", "/v1/ab", false],
  ])("%s and %s: %s", (pattern, path, matches) => {
    expect(matchesPattern(pattern, path)).toBe(matches);
  });

  test.each([
    "/**/a",
    "/a*",
    "/*a",
    "/***",
    "v1",
    "/v1//a",
    "/a?b",
    "/%2e%2e",
  ])("%s is malformed", (pattern) => {
    expect(isPathPattern(pattern)).toBe(false);
  });

  test("long paths and patterns take no time", () => {
    const path = "/a".repeat(2_000);
    const before = performance.now();
    expect(matchesPattern(`${"/*".repeat(250)}/**`, path)).toBe(true);
    expect(isCanonicalPath(`${"/%41".repeat(100_000)}\0`)).toBe(false);
    expect(performance.now() - before).toBeLessThan(500);
  });
});

describe("a policy", () => {
  const policy: DestinationPolicy = {
    origin: "https://api.example",
    methods: ["POST", "GET"],
    paths: ["/v1/**", "/health"],
    inject: { header: "Authorization", format: "Bearer {}" },
  };

  test.each([
    ["GET", "/v1/a", undefined],
    ["GET", "/health?deep=1&a[]=b", undefined],
    ["PUT", "/v1/a", "method"],
    ["GET", "/v2/a", "path"],
    ["GET", "/v1/../a", "canonical"],
    ["GET", "/v1/a?b=c d", "query"],
    ["GET", "/v1/a?b\r\nHost: c", "query"],
    ["GET", "/v1/a?b#c", "query"],
  ])("%s %s", (method, path, reason) => {
    const forbidden = forbiddenByPolicy(policy, { method, path });
    if (reason === undefined) expect(forbidden).toBeUndefined();
    else expect(forbidden).toContain(reason);
  });

  test("its hash is the same for all its spellings, and for no other policy", () => {
    const spelling: DestinationPolicy = {
      inject: { format: "Bearer {}", header: "AUTHORIZATION" },
      paths: ["/health", "/v1/**", "/health"],
      methods: ["GET", "POST", "GET"],
      origin: "https://api.example",
    };
    expect(policyHash(spelling)).toBe(policyHash(policy));
    expect(canonicalPolicy(policy)).toBe(
      '{"origin":"https://api.example","methods":["GET","POST"],"paths":["/health","/v1/**"],"inject":{"header":"authorization","format":"Bearer {}"}}',
    );
    const others: DestinationPolicy[] = [
      { ...policy, origin: "https://api.example:8443" },
      { ...policy, methods: ["GET"] },
      { ...policy, paths: ["/v1/**"] },
      { ...policy, inject: { header: "Authorization", format: "{}" } },
      { ...policy, inject: { header: "X-Key", format: "Bearer {}" } },
      { ...policy, inject: { signature: "standard-webhooks" } },
    ];
    expect(new Set([policy, ...others].map(policyHash)).size).toBe(others.length + 1);
  });
});
