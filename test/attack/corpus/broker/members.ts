import { OTHER_HEADERS, OTHER_PATHS, OTHER_QUERIES } from "./spellings.ts";

/** Members by what their tokens say; see the test for the rules. */
export const MEMBERS = {
  reader: { groups: [] },
  writer: { groups: ["writer"] },
  admin: { groups: ["admin"] },
  vip: { groups: [], subject: "vip" },
  team: { groups: ["team-a"] },
  auditor: { groups: ["auditor"] },
  operator: { groups: ["rotation-operator"] },
  "foreign admin": { groups: ["admin", "team-a"], claim: "org_globex", subject: "vip" },
} as const;
export type Member = keyof typeof MEMBERS;

/** A request as bytes: all but the token, which is put for `TOKEN`. */
export interface Request {
  way: string;
  by?: Member | "nobody";
  text: string;
  /** Statuses of the first answer; 0 if the connection is closed without one. */
  status: number[];
  /** How many requests may come to the destination; none unless given. */
  reaches?: number;
}

export const CRLF = "\r\n";
/** A request of HTTP/1.1 with more lines of its head, and a body. */
export const http = (line: string, lines: string[] = [], body = ""): string =>
  [`${line} HTTP/1.1`, "Host: intake.example", "Authorization: Bearer TOKEN", ...lines, "", body].join(CRLF);
const get = (path: string, ...lines: string[]) =>
  http(`GET /v1/use/stripe${path}`, [...lines, "Connection: close"]);
const JSON_TYPE = "Content-Type: application/json";
const post = (path: string, lines: string[], body: string) =>
  http(`POST /v1/use/stripe${path}`, [...lines, "Connection: close"], body);
const item = (...lines: string[]) => post("/v1/items", [JSON_TYPE, ...lines], "{}");

const shown = (text: string) => JSON.stringify(text.length > 80 ? `${text.slice(0, 40)}…` : text);

/** What each member may do with the credential, by its rules: refused is all else. */
const may: Record<string, { request: string; who: Member[] }> = {
  "GET /v1/a": { request: get("/v1/a"), who: ["reader", "writer", "admin", "vip", "team"] },
  "HEAD /v1/a": {
    request: http("HEAD /v1/use/stripe/v1/a", ["Connection: close"]),
    who: ["reader", "writer", "admin", "vip", "team"],
  },
  "POST /v1/items": { request: item("Content-Length: 2"), who: ["writer", "admin"] },
  "DELETE /v1/items/1": {
    request: http("DELETE /v1/use/stripe/v1/items/1", ["Connection: close"]),
    who: ["admin"],
  },
  "GET /vip/a": { request: get("/vip/a"), who: ["vip"] },
  "GET /team/a": { request: get("/team/a"), who: ["team"] },
  "GET /night/a": { request: get("/night/a"), who: [] },
  "PUT /v1/items": {
    request: http("PUT /v1/use/stripe/v1/items", [JSON_TYPE, "Content-Length: 2", "Connection: close"], "{}"),
    who: [],
  },
};
const byMembers = Object.entries(may).flatMap(([what, { request, who }]) =>
  (Object.keys(MEMBERS) as Member[]).map((by): Request => {
    const isAllowed = who.includes(by);
    return {
      ...{ way: `${by}: ${what}`, by, text: request },
      status: isAllowed ? [200] : by === "foreign admin" ? [404] : [403],
      ...(isAllowed && { reaches: 1 }),
    };
  }),
);

const refused = (
  way: string,
  text: string,
  status: number[] = [400],
  by: Request["by"] = "writer",
): Request => ({
  ...{ way, text, status, by },
});
const passes = (way: string, text: string, by: Request["by"] = "writer"): Request => ({
  ...{ way, text, by, status: [200], reaches: 1 },
});
const SMUGGLED = "GET /v1/use/stripe/v1/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

export const members: Request[] = [
  ...byMembers,
  ...OTHER_PATHS.map((path) => refused(`path ${shown(path)}`, get(path), [400, 403, 404])),
  ...OTHER_QUERIES.map((query) => refused(`query ${shown(query)}`, get(`/v1/a?${query}`), [400, 403])),
  ...OTHER_HEADERS.filter(
    ([name]) => !/^(host|connection|content-length|transfer-encoding|expect|upgrade)$/i.test(name),
  ).map(
    ([name, value]): Request => ({
      ...{
        way: `header ${shown(name)}: ${shown(value)}`,
        text: get("/v1/a", `${name}: ${value}`),
        by: "writer",
      },
      ...{ status: [200, 400, 401, 403], reaches: 1 },
    }),
  ),
  ...[
    "Authorization",
    "Host",
    "Content-Type",
    "Strongroom-Receipt",
    "X-A",
    "close, Authorization",
    "Transfer-Encoding",
  ].map((name) =>
    passes(`a header that Connection names: ${name}`, get("/v1/a", "X-A: a", `Connection: ${name}`)),
  ),
  refused("absolute form", http("GET https://elsewhere.example/v1/a", ["Connection: close"]), [400, 404]),
  refused(
    "absolute form of the intake's own",
    http("GET http://intake.example/v1/use/stripe/v1/a", ["Connection: close"]),
    [400, 404],
  ),
  refused("authority form", http("GET elsewhere.example:443", ["Connection: close"]), [400, 404]),
  refused("asterisk form", http("OPTIONS *", ["Connection: close"]), [400, 404, 405]),
  ...["TRACE", "OPTIONS", "PROPFIND", "LOCK", "QUERY", "COPY", "MOVE", "SEARCH", "PURGE", "get", "Get"].map(
    (method) =>
      refused(
        `method ${method}`,
        http(`${method} /v1/use/stripe/v1/a`, ["Connection: close"]),
        [400, 404, 405],
      ),
  ),
  refused("method CONNECT", http("CONNECT elsewhere.example:443"), [405]),
  refused("method CONNECT to a use", http("CONNECT /v1/use/stripe/v1/a"), [400, 405]),
  ...[
    "/v1/use/stripe",
    "/v1/use/stripe/",
    "/v1/use//v1/a",
    "/v1/use/STRIPE/v1/a",
    "/v1/use/strip%65/v1/a",
  ].map((path) => refused(`route ${path}`, http(`GET ${path}`, ["Connection: close"]), [400, 403, 404])),
  ...[
    "/v1/use/stripe%2fv1/a",
    "/v1/use/../use/stripe/v1/a",
    "/v1//use/stripe/v1/a",
    "/V1/use/stripe/v1/a",
  ].map((path) => refused(`route ${path}`, http(`GET ${path}`, ["Connection: close"]), [400, 403, 404])),
  ...["/v1/use/off/v1/a", "/v1/use/job/v1/a"].map((path) =>
    refused(`route ${path}`, http(`GET ${path}`, ["Connection: close"]), [409]),
  ),
  ...["/v1/use/theirs/v1/a", "/v1/use/none/v1/a", "/v1/use/__proto__/v1/a", "/v1/use/constructor/v1/a"].map(
    (path) => refused(`route ${path}`, http(`GET ${path}`, ["Connection: close"]), [400, 404]),
  ),
  refused(
    "another's rules: a credential for admins alone",
    http("GET /v1/use/hidden/v1/a", ["Connection: close"]),
    [403],
  ),
  refused("nobody", get("/v1/a").replace("Authorization: Bearer TOKEN\r\n", ""), [401]),
  refused(
    "a token in the query",
    get("/v1/a?access_token=TOKEN").replace("Authorization: Bearer TOKEN\r\n", ""),
    [401],
  ),
  refused("two tokens", get("/v1/a", "Authorization: Bearer TOKEN"), [400, 401]),
  refused("a token and another of Vault's", get("/v1/a", "X-Vault-Token: TOKENx"), [400, 401]),
  refused("another organization by a header", get("/v1/a", "X-Vault-Namespace: globex"), [400, 403]),
  refused("length and chunks", item("Content-Length: 2", "Transfer-Encoding: chunked"), [400]),
  refused("chunks and length", item("Transfer-Encoding: chunked", "Content-Length: 2"), [400]),
  refused("two lengths", item("Content-Length: 2", "Content-Length: 3"), [400]),
  refused("two equal lengths", item("Content-Length: 2", "Content-Length: 2"), [400]),
  refused("two lengths in one line", item("Content-Length: 2, 2"), [400]),
  refused("a length with a sign", item("Content-Length: +2"), [400]),
  refused("a length in hex", item("Content-Length: 0x2"), [400]),
  refused("a negative length", item("Content-Length: -2"), [400]),
  refused("a length beyond all", item(`Content-Length: ${"9".repeat(25)}`), [400, 413]),
  refused("a length beyond the limit", item(`Content-Length: ${2 ** 31}`), [413]),
  refused("a length behind a space", item("Content-Length : 2"), [400]),
  refused("a length that is folded", item("Content-Length:\r\n 2"), [400]),
  ...[
    "xchunked",
    "chunked, identity",
    "identity, chunked",
    "gzip, chunked",
    "chunked, chunked",
    "Chunked;a",
    "\tchunked x",
    "identity",
  ].map((coding) =>
    refused(`transfer coding ${shown(coding)}`, item(`Transfer-Encoding: ${coding}`), [400, 501]),
  ),
  refused("two transfer codings", item("Transfer-Encoding: chunked", "Transfer-Encoding: identity"), [400]),
  refused(
    "chunks that are none",
    post("/v1/items", [JSON_TYPE, "Transfer-Encoding: chunked"], `zz${CRLF}{}${CRLF}0${CRLF}${CRLF}`),
    [0, 400, 503, 502],
  ),
  refused(
    "a chunk longer than it says",
    post("/v1/items", [JSON_TYPE, "Transfer-Encoding: chunked"], `1${CRLF}{}${CRLF}0${CRLF}${CRLF}`),
    [0, 400, 503, 502],
  ),
  refused(
    "a chunk with a sign",
    post("/v1/items", [JSON_TYPE, "Transfer-Encoding: chunked"], `-2${CRLF}{}${CRLF}0${CRLF}${CRLF}`),
    [0, 400, 503, 502],
  ),
  passes(
    "trailers that are headers",
    post(
      "/v1/items",
      [JSON_TYPE, "Transfer-Encoding: chunked", "Trailer: X-A"],
      `2${CRLF}{}${CRLF}0${CRLF}Authorization: Bearer evil${CRLF}X-Evil: evil${CRLF}${CRLF}`,
    ),
  ),
  passes(
    "a chunk's extension",
    post("/v1/items", [JSON_TYPE, "Transfer-Encoding: chunked"], `2;a=b${CRLF}{}${CRLF}0${CRLF}${CRLF}`),
  ),
  refused("chunks in HTTP/1.0", item("Transfer-Encoding: chunked").replace("HTTP/1.1", "HTTP/1.0"), [400]),
  refused("HTTP/0.9", `GET /v1/use/stripe/v1/a${CRLF}${CRLF}`, [0, 400]),
  refused("HTTP/2", `PRI * HTTP/2.0${CRLF}${CRLF}SM${CRLF}${CRLF}`, [0, 400, 404, 405]),
  passes("two hosts", get("/v1/a", "Host: elsewhere.example")),
  refused("lines that end with LF", get("/v1/a").replaceAll(CRLF, "\n"), [0, 400]),
  refused("a line that ends with CR", get("/v1/a", "X-A: a\rX-B: b"), [400]),
  refused("a NUL in a header", get("/v1/a", "X-A: a\0b"), [400]),
  refused("a header that is folded", get("/v1/a", "X-A: a\r\n b"), [400]),
  passes("a line break that is encoded, in a header", get("/v1/a", "X-A: a%0d%0aX-Evil: evil")),
  {
    ...passes(
      "a second request in the body",
      http(
        "POST /v1/use/stripe/v1/items",
        [JSON_TYPE, `Content-Length: ${SMUGGLED.length}`, "Connection: close"],
        SMUGGLED,
      ),
    ),
  },
  refused(
    "a second request behind a GET with a length",
    get("/v1/a", `Content-Length: ${SMUGGLED.length}`) + SMUGGLED,
    [400],
  ),
  refused("a body with GET", `${get("/v1/a", "Content-Length: 2")}{}`, [400]),
  refused("chunks with GET", `${get("/v1/a", "Transfer-Encoding: chunked")}0${CRLF}${CRLF}`, [400]),
  refused(
    "a second request that has no token",
    `${http("GET /v1/use/stripe/v1/use")}`.replace("/v1/use HTTP", "/v2/a HTTP") + SMUGGLED,
    [403],
  ),
  refused(
    "WebSocket",
    get(
      "/v1/a",
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Key: a",
      "Sec-WebSocket-Version: 13",
    ),
    [400],
  ),
  refused(
    "h2c",
    get("/v1/a", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAAA"),
    [400],
  ),
  refused("an upgrade to TLS", get("/v1/a", "Upgrade: TLS/1.3", "Connection: Upgrade"), [400]),
  refused("another expectation", item("Content-Length: 2", "Expect: 200-ok"), [400, 417]),
  passes("100-continue", item("Content-Length: 2", "Expect: 100-continue")),
  passes("TE", get("/v1/a", "TE: trailers, deflate")),
  passes("Accept-Encoding", get("/v1/a", "Accept-Encoding: gzip, br")),
  passes("Range", get("/v1/a", "Range: bytes=0-1")),
  refused(
    "too many headers",
    get("/v1/a", ...Array.from({ length: 70 }, (_, at) => `X-${at}a: a`)).replaceAll(/X-(\d+)a/g, "X-A$1"),
    [400, 431],
  ),
  refused("headers that are too long", get("/v1/a", `X-A: ${"a".repeat(9_000)}`), [400, 431]),
  refused(
    "a head of 100 KB",
    get("/v1/a", ...Array.from({ length: 100 }, (_, at) => `X-A${at}: ${"a".repeat(1_000)}`)),
    [0, 400, 431],
  ),
  refused("a target of 5,000 characters", get(`/v1/${"a".repeat(5_000)}`), [400, 414, 431]),
  ...[
    "text/html",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=a",
    "application/xml",
    "application/json, text/html",
    "",
    "*/*",
    "application/json x",
  ].map((type) =>
    refused(
      `type ${shown(type)}`,
      post("/v1/items", [`Content-Type: ${type}`, "Content-Length: 2"], "{}"),
      [400, 403, 415],
    ),
  ),
  refused(
    "two types",
    post("/v1/items", [JSON_TYPE, "Content-Type: text/html", "Content-Length: 2"], "{}"),
    [400],
  ),
  refused("a body without a type", post("/v1/items", ["Content-Length: 2"], "{}"), [403]),
  refused("a body that is encoded", item("Content-Length: 2", "Content-Encoding: gzip"), [400]),
];
