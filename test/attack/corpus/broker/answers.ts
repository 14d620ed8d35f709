import type { TLSSocket } from "node:tls";
import { type Form, formsOf } from "../../../harness/canary.ts";
import { BROKEN_ANSWERS, ok } from "../../../harness/raw-destination.ts";

/** What a hostile destination does with a request; the credential is in the request's head. */
export interface Answer {
  way: string;
  method?: "GET" | "HEAD" | "POST";
  react(socket: TLSSocket, value: string, elsewhere: string): void;
  /** What the caller may get: why there is no answer, or which one. */
  expected:
    | { failure: string[] }
    | { status: number; body?: RegExp; headers?: Record<string, RegExp | undefined> };
}

const CRLF = "\r\n";
const bytes = (way: string, text: string, expected: Answer["expected"]): Answer => ({
  ...{ way, expected },
  react: (socket) => void socket.write(text, "latin1"),
});
const broken = (way: string, text: string, ...failure: string[]): Answer =>
  bytes(way, text, { failure: failure.length > 0 ? failure : ["answer_unusable", "unreachable"] });
const head = (lines: string, rest = "") => `HTTP/1.1 200 OK${CRLF}${lines}${CRLF}${rest}`;
const LENGTH = (length: number) => `Content-Length: ${length}${CRLF}`;
const CHUNKED = `Transfer-Encoding: chunked${CRLF}`;
const chunk = (text: string | Buffer) => {
  const payload = Buffer.from(text as string);
  return Buffer.concat([Buffer.from(`${payload.length.toString(16)}${CRLF}`), payload, Buffer.from(CRLF)]);
};
const LAST = Buffer.from(`0${CRLF}${CRLF}`);

/** Forms that somebody else than the destination could read the value from, and that no search finds. */
const UNFOUND = ["reversed", "first half", "second half"];
const formsFor = (value: string): Form[] => formsOf(value).filter(([name]) => !UNFOUND.includes(name));
const FORMS = formsFor("x".repeat(40)).map(([name]) => name);
const formOf = (value: string, name: string): Buffer =>
  formsFor(value).find(([each]) => each === name)?.[1] ?? Buffer.alloc(0);

/** The value in a form, within a body that is cut into pieces. */
const echo = (form: string, how: string, pieces: (text: Buffer) => Buffer[]): Answer => ({
  way: `echo: ${form}, ${how}`,
  react(socket, value) {
    const text = Buffer.concat([Buffer.from('{"seen":"'), formOf(value, form), Buffer.from('"}')]);
    socket.write(head(CHUNKED));
    for (const piece of pieces(text)) socket.write(chunk(piece));
    socket.write(LAST);
  },
  expected: { status: 200, body: /\[removed\]/ },
});
const whole = (text: Buffer) => [text];
const singles = (text: Buffer) => Array.from(text, (_, at) => text.subarray(at, at + 1));
const halves = (text: Buffer) => [text.subarray(0, text.length / 2), text.subarray(text.length / 2)];

/** A header with the value in it. */
const echoed = (way: string, line: (value: string) => string, expected: Answer["expected"]): Answer => ({
  way: `echo: ${way}`,
  react: (socket, value) => void socket.write(head(`${line(value)}${CRLF}${LENGTH(2)}`, "ok")),
  expected,
});
const fine = (headers: Record<string, RegExp | undefined> = {}): Answer["expected"] => ({
  ...{ status: 200, body: /^ok$/, headers },
});

const dropped = (name: string, value = "a"): Answer =>
  bytes(`header: ${name}`, ok("ok", `${name}: ${value}${CRLF}`), fine({ [name.toLowerCase()]: undefined }));
const location = (way: string, to: string, expected: RegExp | undefined): Answer => ({
  way: `location: ${way}`,
  react: (socket, _, elsewhere) =>
    void socket.write(
      `HTTP/1.1 302 Found${CRLF}Location: ${to.replace("ELSEWHERE", elsewhere)}${CRLF}${LENGTH(0)}${CRLF}`,
    ),
  expected: { status: 302, headers: { location: expected } },
});
/** A second answer that nobody asked for. */
const second = `HTTP/1.1 200 OK${CRLF}X-Smuggled: yes${CRLF}${LENGTH(8)}${CRLF}smuggled`;

export const answers: Answer[] = [
  ...FORMS.flatMap((form) => [
    echo(form, "whole", whole),
    echo(form, "byte by byte", singles),
    echo(form, "in two", halves),
  ]),
  echoed("in a header", (value) => `X-Echo: ${value}`, fine({ "x-echo": /^\[removed\]$/ })),
  echoed("in a header as base64", (value) => `X-Echo: ${Buffer.from(value).toString("base64")}`, fine()),
  echoed("in a header's name", (value) => `X-${Buffer.from(value).toString("hex")}: a`, fine()),
  echoed("in a header that is repeated", (value) => `X-A: ${value}${CRLF}X-A: ${value}`, fine()),
  echoed("in a cookie", (value) => `Set-Cookie: a=${value}`, fine({ "set-cookie": undefined })),
  echoed("in Content-Type", (value) => `Content-Type: text/plain; a="${value}"`, fine()),
  echoed("in ETag", (value) => `ETag: "${value}"`, fine()),
  echoed("in WWW-Authenticate", (value) => `WWW-Authenticate: Bearer error="${value}"`, fine()),
  echoed(
    "in a link",
    (value) => `Link: <https://a.example/?k=${encodeURIComponent(value)}>; rel=next`,
    fine(),
  ),
  echoed("in Location, with status 200", (value) => `Location: /a/${encodeURIComponent(value)}`, fine()),
  {
    way: "echo: in the reason phrase",
    react: (socket, value) => void socket.write(`HTTP/1.1 200 ${value}${CRLF}${LENGTH(2)}${CRLF}ok`),
    expected: fine(),
  },
  {
    way: "echo: in a trailer",
    react: (socket, value) =>
      void socket.write(
        head(`${CHUNKED}Trailer: X-Echo${CRLF}`, `2${CRLF}ok${CRLF}0${CRLF}X-Echo: ${value}${CRLF}${CRLF}`),
      ),
    expected: fine({ "x-echo": undefined }),
  },
  {
    way: "echo: in a chunk's extension",
    react: (socket, value) =>
      void socket.write(head(CHUNKED, `2;a="${value}"${CRLF}ok${CRLF}0${CRLF}${CRLF}`)),
    expected: fine(),
  },
  {
    way: "echo: in an informational answer",
    react: (socket, value) =>
      void socket.write(`HTTP/1.1 103 Early Hints${CRLF}Link: <${value}>${CRLF}${CRLF}${ok("ok")}`),
    expected: fine(),
  },
  {
    way: "echo: in an error of the destination's",
    react: (socket, value) =>
      void socket.write(`HTTP/1.1 500 Oops${CRLF}${LENGTH(value.length)}${CRLF}${value}`, "latin1"),
    expected: { status: 500, body: /^\[removed\]$/ },
  },
  {
    ...{ way: "echo: in an answer to HEAD", method: "HEAD" as const },
    react: (socket, value) => void socket.write(head(`X-Echo: ${value}${CRLF}${LENGTH(10)}`)),
    expected: { status: 200, headers: { "x-echo": /^\[removed\]$/ } },
  },
  {
    way: "echo: the request's whole head",
    react: (socket, value) =>
      void socket.write(ok(`GET /v1/a HTTP/1.1${CRLF}Authorization: Bearer ${value}${CRLF}`)),
    expected: { status: 200, body: /Bearer \[removed\]/ },
  },
  {
    way: "echo: a thousand times",
    react: (socket, value) => void socket.write(ok(`${value} `.repeat(1_000))),
    expected: { status: 200, body: /^(\[removed\] ){1000}$/ },
  },
  ...BROKEN_ANSWERS.map(([name, text, failure]): Answer => {
    const isCut = failure === "unreachable";
    return {
      way: `broken: ${name}`,
      react: (socket) => (isCut ? void socket.end(text) : void socket.write(text, "latin1")),
      expected: { failure: ["answer_unusable", "unreachable"] },
    };
  }),
  broken("broken: a header without a colon", head("Broken")),
  broken("broken: a header that is folded", head(`X-A: a${CRLF} b${CRLF}${LENGTH(2)}`, "ok")),
  broken("broken: a NUL in a header", head(`X-A: a\0b${CRLF}${LENGTH(2)}`, "ok")),
  broken("broken: a line that ends with LF alone", `HTTP/1.1 200 OK\nContent-Length: 2\n\nok`),
  broken("broken: CR alone", `HTTP/1.1 200 OK\rContent-Length: 2\r\rok`),
  broken("broken: a space before the colon", head(`Content-Length : 2${CRLF}`, "ok")),
  broken("broken: a negative length", head("Content-Length: -1\r\n")),
  broken("broken: a length with a sign", head("Content-Length: +2\r\n", "ok")),
  broken("broken: a length in hex", head("Content-Length: 0x2\r\n", "ok")),
  broken("broken: two lengths in one line", head("Content-Length: 2, 2\r\n", "ok")),
  broken("broken: a length beyond all", head(`Content-Length: ${"9".repeat(30)}${CRLF}`, "ok")),
  broken("broken: chunks with a length beyond all", head(CHUNKED, `${"f".repeat(20)}${CRLF}ok${CRLF}`)),
  broken("broken: a chunk longer than it says", head(CHUNKED, `1${CRLF}ok${CRLF}0${CRLF}${CRLF}`)),
  broken("broken: a chunk with a sign", head(CHUNKED, `-1${CRLF}ok${CRLF}0${CRLF}${CRLF}`)),
  broken("broken: chunked twice", head(`${CHUNKED}${CHUNKED}`, `2${CRLF}ok${CRLF}0${CRLF}${CRLF}`)),
  broken("broken: chunked, and identity", head("Transfer-Encoding: chunked, identity\r\n", "ok")),
  broken("broken: identity as transfer coding", head(`Transfer-Encoding: identity${CRLF}${LENGTH(2)}`, "ok")),
  broken("broken: chunked in another spelling", head("Transfer-Encoding: xchunked\r\n", "ok")),
  broken("broken: HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  broken("broken: HTTP/3.1", `HTTP/3.1 200 OK${CRLF}${LENGTH(2)}${CRLF}ok`),
  broken(
    "broken: a status of 99",
    `HTTP/1.1 099 X${CRLF}${LENGTH(2)}${CRLF}ok`,
    "answer_unusable",
    "unreachable",
    "timeout",
  ),
  broken("broken: a status of 999", `HTTP/1.1 999 X${CRLF}${LENGTH(2)}${CRLF}ok`),
  broken("broken: a request instead of an answer", `GET / HTTP/1.1${CRLF}Host: a${CRLF}${CRLF}`),
  ...["101 Switching Protocols", "101 A"].map((status) =>
    broken(
      `upgrade: ${status}, with bytes after it`,
      `HTTP/1.1 ${status}${CRLF}Upgrade: websocket${CRLF}Connection: Upgrade${CRLF}${CRLF}xyz`,
    ),
  ),
  broken(
    "upgrade: 101 without a word of it",
    `HTTP/1.1 101 A${CRLF}${CRLF}`,
    "answer_unusable",
    "unreachable",
    "timeout",
  ),
  bytes(
    "upgrade: asked for in an answer",
    ok("ok", `Upgrade: h2c${CRLF}Connection: Upgrade${CRLF}`),
    fine({ upgrade: undefined }),
  ),
  ...[
    "gzip",
    "GZIP",
    "br",
    "deflate",
    "zstd",
    "x-gzip",
    "compress",
    "gzip, identity",
    "identity, gzip",
    "aws-chunked",
    "*",
  ].map((coding) =>
    broken(`encoded: ${coding}`, ok("ok", `Content-Encoding: ${coding}${CRLF}`), "answer_unusable"),
  ),
  bytes(
    "encoded: identity",
    ok("ok", `Content-Encoding: identity${CRLF}`),
    fine({ "content-encoding": undefined }),
  ),
  bytes(
    "flood: 2,000 answers of 100",
    `HTTP/1.1 100 Continue${CRLF}${CRLF}`.repeat(2_000) + ok("ok"),
    fine(),
  ),
  bytes(
    "flood: 500 of 103 with a cookie",
    `HTTP/1.1 103 A${CRLF}Set-Cookie: a=b${CRLF}${CRLF}`.repeat(500) + ok("ok"),
    fine({ "set-cookie": undefined }),
  ),
  {
    way: "flood: answers of 100 without end",
    react(socket) {
      const more = () =>
        socket.destroyed || setTimeout(() => socket.write(`HTTP/1.1 100 A${CRLF}${CRLF}`, more), 5);
      more();
    },
    expected: { failure: ["timeout"] },
  },
  broken("flood: 101 headers", ok("ok", `X-A: b${CRLF}`.repeat(101)), "answer_unusable"),
  broken("flood: 2,000 headers", ok("ok", `A: b${CRLF}`.repeat(2_000)), "answer_unusable"),
  bytes(
    "flood: 300 cookies",
    ok("ok", `Set-Cookie: a=b${CRLF}`.repeat(300)),
    fine({ "set-cookie": undefined }),
  ),
  broken("flood: a header of 16 KiB", ok("ok", `X-A: ${"a".repeat(16_400)}${CRLF}`), "answer_unusable"),
  broken(
    "flood: a header without end",
    `HTTP/1.1 200 OK${CRLF}X-A: ${"a".repeat(100_000)}`,
    "answer_unusable",
  ),
  broken("flood: a chunk's extension of 100 KB", head(CHUNKED, `2;${"a".repeat(100_000)}${CRLF}ok`)),
  broken(
    "flood: trailers of 100 KB",
    head(CHUNKED, `0${CRLF}${`X-A: ${"a".repeat(1_000)}${CRLF}`.repeat(100)}${CRLF}`),
  ),
  { way: "slow: nothing at all", react: () => {}, expected: { failure: ["timeout"] } },
  broken("slow: half a head", "HTTP/1.1 200 OK\r\nX-", "timeout"),
  broken("slow: a body that stands still", head(LENGTH(100), "half"), "timeout"),
  broken("slow: chunks that stand still", head(CHUNKED, `4${CRLF}half${CRLF}`), "timeout"),
  {
    way: "slow: a head byte by byte",
    react(socket) {
      const text = head(`X-A: ${"a".repeat(10_000)}${CRLF}${LENGTH(0)}`);
      const more = (at: number): unknown =>
        socket.destroyed || setTimeout(() => socket.write(text[at] ?? "", () => more(at + 1)), 5);
      more(0);
    },
    expected: { failure: ["timeout"] },
  },
  ...["301", "302", "303", "307", "308", "300"].map(
    (status): Answer => ({
      way: `redirect: ${status} to another host`,
      react: (socket, _, elsewhere) =>
        void socket.write(`HTTP/1.1 ${status} A${CRLF}Location: ${elsewhere}/v1/a${CRLF}${LENGTH(0)}${CRLF}`),
      expected: { status: Number(status), headers: { location: /^https:\/\/.*\/v1\/a$/ } },
    }),
  ),
  location("a token in the query", "ELSEWHERE/a?access_token=t1&b=1", /\/a\?b=1$/),
  location("a token in the fragment", "ELSEWHERE/a#access_token=t1&b=1", /\/a#b=1$/),
  location("a token after a semicolon", "ELSEWHERE/a;sid=t1", /\/a$/),
  location("a code and a state", "ELSEWHERE/a?code=t1&state=s", /\/a\?state=s$/),
  location("a token whose name is encoded", "ELSEWHERE/a?%61ccess_token=t1", /\/a$/),
  location("a token whose name is in capitals", "ELSEWHERE/a?ACCESS_TOKEN=t1", /\/a$/),
  location("a signature of AWS", "ELSEWHERE/a?X-Amz-Signature=t1&X-Amz-Credential=t1", /\/a$/),
  location(
    "a user and a password",
    "https://user:t1@elsewhere.example/a",
    /^https:\/\/elsewhere\.example\/a$/,
  ),
  location("with the origin alone", "/a?token=t1", /^https:\/\/provider\.example(:\d+)?\/a$/),
  location("with the scheme alone", "//elsewhere.example/a?token=t1", /^https:\/\/elsewhere\.example\/a$/),
  location("with backslashes", "\\\\elsewhere.example\\a?token=t1", /^https:\/\/elsewhere\.example\/a$/),
  location("that is none", "https://[", undefined),
  ...[
    "Set-Cookie",
    "Set-Cookie2",
    "Authorization",
    "Authentication-Info",
    "Proxy-Authenticate",
    "Proxy-Authorization",
  ].map((name) => dropped(name)),
  ...["Strict-Transport-Security", "Clear-Site-Data", "Public-Key-Pins", "Expect-CT", "Alt-Svc", "NEL"].map(
    (name) => dropped(name),
  ),
  ...[
    "Report-To",
    "Service-Worker-Allowed",
    "SourceMap",
    "X-SourceMap",
    "X-Accel-Redirect",
    "X-Sendfile",
  ].map((name) => dropped(name)),
  ...["Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Keep-Alive", "Trailer", "TE"].map(
    (name) => dropped(name),
  ),
  ...[
    "Strongroom-Answer",
    "Strongroom-Receipt",
    "Strongroom-Anything",
    "X-Reproxy-URL",
    "HTTP2-Settings",
  ].map((name) => dropped(name)),
  dropped("Refresh", "0; url=https://elsewhere.example/"),
  bytes(
    "header: named by Connection",
    ok("ok", `Connection: X-Hop, X-Other${CRLF}X-Hop: a${CRLF}X-Other: b${CRLF}`),
    fine({ "x-hop": undefined, "x-other": undefined }),
  ),
  bytes("second: in the same write", ok("ok") + second, {
    status: 200,
    body: /^ok$/,
    headers: { "x-smuggled": undefined },
  }),
  bytes("second: after a body that is shorter than said", head(LENGTH(2), "ok") + second, {
    status: 200,
    body: /^ok$/,
  }),
  bytes("second: behind a 204", `HTTP/1.1 204 A${CRLF}${CRLF}${second}`, { status: 204, body: /^$/ }),
  bytes(
    "second: behind a 204 with a length",
    `HTTP/1.1 204 A${CRLF}${LENGTH(second.length)}${CRLF}${second}`,
    { status: 204, body: /^$/ },
  ),
  bytes("second: behind a 304", `HTTP/1.1 304 A${CRLF}${LENGTH(second.length)}${CRLF}${second}`, {
    status: 304,
    body: /^$/,
  }),
  bytes("second: behind the last chunk", `${head(CHUNKED, `2${CRLF}ok${CRLF}0${CRLF}${CRLF}`)}${second}`, {
    status: 200,
    body: /^ok$/,
  }),
  {
    ...bytes("second: behind an answer to HEAD", head(LENGTH(second.length), second), {
      status: 200,
      body: /^$/,
    }),
    method: "HEAD",
  },
  ...[0, 1, 5, 20].map(
    (ms): Answer => ({
      way: `second: ${ms} ms later`,
      react(socket) {
        socket.write(ok("ok"), () => setTimeout(() => socket.destroyed || socket.write(second), ms));
      },
      expected: { status: 200, body: /^ok$/ },
    }),
  ),
  {
    way: "second: half of it at once, and half later",
    react(socket) {
      socket.write(ok("ok") + second.slice(0, 30), () =>
        setTimeout(() => socket.destroyed || socket.write(second.slice(30)), 5),
      );
    },
    expected: { status: 200, body: /^ok$/ },
  },
  {
    ...{ way: "second: before the request's body has come", method: "POST" as const },
    react: (socket) => void socket.write(ok("ok") + second),
    expected: { status: 200, body: /^ok$/ },
  },
  broken("second: with Connection: close", ok("ok", `Connection: close${CRLF}`) + second),
];
