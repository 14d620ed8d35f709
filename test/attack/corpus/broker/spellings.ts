/** Paths under `/v1` that some destination takes for another place than what a rule for `/v1/**` was compared with. */
export const OTHER_PATHS: readonly string[] = [
  ...["/", "/v2/charges", "/V1/charges", "/v1x/charges", "/v1/../admin", "/v1/./charges", "/v1/.."],
  ...["/v1/a/../../admin", "/v1/%2e%2e/admin", "/v1/.%2e/admin", "/v1/%2E%2E%2Fadmin", "/v1/..%2fadmin"],
  ...["/v1%2fcharges", "/v1/..;/admin", "/v1/..;a=b/admin", "/v1/%2e%2e;a=b/admin", "/v1/..%3b/admin"],
  ...["/v1/..\\admin", "/v1/%5c..%5cadmin", "/v1/%252e%252e/admin", "/v1/%25252e/admin", "/v1/%00/admin"],
  ...["/v1/a%00/admin", "/v1/%0d%0aX-Echo:a", "/v1/%0aadmin", "/v1/%7f", "/v1//admin", "/v1/a//b"],
  ...["//elsewhere.example/v1/charges", "/\\elsewhere.example/v1/charges", "/v1/%u002e%u002e/admin"],
  // Longer encodings of a dot and of a slash, which some decoders accept; half a character; and none at all.
  ...["/v1/%c0%ae%c0%ae/admin", "/v1/%e0%80%ae%e0%80%ae/admin", "/v1/%f0%80%80%ae%f0%80%80%ae/admin"],
  ...["/v1/..%c0%af..%c0%afadmin", "/v1/%c1%9cadmin", "/v1/%ff%fe", "/v1/a%c3", "/v1/%ed%a0%80", "/v1/%80"],
  // What a normalization of Unicode makes a dot, a slash or a percent sign of.
  ...["/v1/%ef%bc%8e%ef%bc%8e/admin", "/v1/..%ef%bc%8fadmin", "/v1/%e2%80%a5/admin", "/v1/%ef%bc%852e"],
  ...["/v1/%ef%bc%bcadmin", "/v1/%e2%80%a4%e2%80%a4/admin"],
  ...[
    "/v1/charges#a",
    "/v1/%zz",
    "/v1/%",
    "/v1/%2",
    "/v1/charges\t",
    "/v1/a b",
    "/v1/é",
    "/v1/@e.example/..",
  ],
  ...["/v1/<a>", "/v1/[a]", "/v1/{a}", "/v1/a|b", "/v1/a^b", "/v1/`a`", '/v1/"a"'],
];

/** Queries that name more, for some destination, than the member `q`. */
export const OTHER_QUERIES: readonly string[] = [
  ...["admin=1", "q=1&admin=1", "q=1;admin=1", "q&admin", "q=1&&admin=1", "Q=1", "q[]=1", "q[admin]=1"],
  ...["q.admin=1", "%71x=1", "q%00=1", "q+=1", "+q=1", "%20q=1", "q%5b%5d=1", "q=1&%61dmin=1", "=1"],
  ...["q=1?admin=1&x=1", "__proto__=1", "constructor=1", "_method=DELETE", "%zz=1", "q%=1", "q=1%26&a"],
  ...["q=1#a", "q=<", "q= 1", "q=é", "q=a\\b", "q=1&api_key=mine", "access_token=mine", "%c3=1"],
];

/** Headers that frame a message, carry a credential, or have a destination act on something else than the request line. */
export const OTHER_HEADERS: readonly [name: string, value: string][] = [
  ...["Authorization", "authorization", "AUTHORIZATION", "Proxy-Authorization", "Cookie", "Cookie2"].map(of),
  ...["Host", "hOsT", "Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length", "TE", "Trailer"].map(
    of,
  ),
  ...[
    "Upgrade",
    "Expect",
    "Accept-Encoding",
    "Range",
    "If-Range",
    "Via",
    "Forwarded",
    "Proxy-Connection",
  ].map(of),
  ...["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Real-IP"].map(of),
  ...["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-Method"].map(of),
  ...[
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Original-Host",
    "X-Host",
    "Sec-WebSocket-Key",
    "Sec-Fetch-Site",
  ].map(of),
  // A request for one path that reads or writes another one.
  ...["X-Amz-Copy-Source", "X-Goog-Copy-Source", "X-Ms-Copy-Source", "X-Copy-From", "Destination"].map(named),
  ...["X-Ms-Rename-Source", "X-Amz-Copy-Source-Range", "X-Amz-Copy-Source-If-Match"].map(named),
  ...["Strongroom-Receipt", "Strongroom-Answer", "X-Vault-Token", "X-Vault-Namespace", "webhook-id"].map(of),
  ...["X-A\r\nHost", "X-A:", " X-A", "X-A ", "X A", "X_A", "X-Ä", "", "__proto__", ":authority", "1-A"].map(
    of,
  ),
  ["X-A", "a\r\nHost: elsewhere.example"],
  ["X-A", "a\nAuthorization: Bearer mine"],
  ["X-A", "a\rb"],
  ["X-A", "a\u0000b"],
  ["X-A", "\u560d\u560aHost: a"],
  ["X-A", "é"],
  ["X-A", "\u007f"],
];

function of(name: string): [string, string] {
  return [name, "a"];
}

function named(name: string): [string, string] {
  return [name, "/v2/secret"];
}
