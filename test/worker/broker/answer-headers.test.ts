import { expect, test } from "vitest";
import { answerHeaders } from "../../../services/worker/broker/answer-headers.ts";
import { REMOVED, Scrubber } from "../../../services/worker/scrub/scrubber.ts";

const SECRET = "tiger-42-secret";
const ORIGIN = "https://api.example.com";

const passed = (...raw: [string, string][]) =>
  answerHeaders(raw, new Scrubber([Buffer.from(SECRET)]), ORIGIN);
const location = (value: string) => passed(["Location", value])[0]?.[1];

test("what describes the answer passes, in order", () => {
  const headers: [string, string][] = [
    ["Content-Type", "application/json"],
    ["ETag", '"1"'],
    ["Link", '<https://api.example.com/v1?page=2>; rel="next"'],
    ["Link", '</v1>; rel="first"'],
    ["Server-Timing", "db;dur=3"],
    ["WWW-Authenticate", 'Basic realm="api"'],
    ["Retry-After", "3"],
  ];
  expect(passed(...headers)).toEqual(headers);
});

test.each([
  ...["Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length", "Content-Encoding", "Upgrade", "TE"],
  ...["Trailer", "Set-Cookie", "Set-Cookie2", "Authorization", "Authentication-Info", "Proxy-Authenticate"],
  ...["Proxy-Authentication-Info", "Alt-Svc", "Strict-Transport-Security", "Clear-Site-Data", "Refresh"],
  ...["Access-Control-Allow-Origin", "access-control-allow-credentials", "X-Accel-Redirect", "X-Sendfile"],
  ...["Strongroom-Answer", "STRONGROOM-RECEIPT", "Report-To", "NEL", "Expect-CT", "Public-Key-Pins"],
])("%s does not pass", (name) => {
  expect(passed([name, "x"], ["Date", "y"])).toEqual([["Date", "y"]]);
});

test("nor does what `Connection` names", () => {
  const headers = passed(
    ["X-Hop", "1"],
    ["Connection", "close, X-Hop"],
    ["connection", "x-other"],
    ["X-Other", "2"],
    ["X-End", "3"],
  );
  expect(headers).toEqual([["X-End", "3"]]);
});

test("the credential is removed from values; a name that contains it goes", () => {
  const scrubber = new Scrubber([Buffer.from(SECRET)]);
  const headers = answerHeaders(
    [
      ["X-Echo", `Bearer ${SECRET}`],
      [`X-${SECRET}`, "1"],
      ["X-Encoded", Buffer.from(SECRET).toString("base64")],
      ["X-End", "\\"],
      ["Date", "now"],
    ],
    scrubber,
    ORIGIN,
  );
  expect(headers).toEqual([
    ["X-Echo", `Bearer ${REMOVED}`],
    ["X-Encoded", REMOVED],
    ["X-End", "\\"],
    ["Date", "now"],
  ]);
  expect(scrubber.hits).toBe(3);
});

test.each([
  ["/v1/things/7", `${ORIGIN}/v1/things/7`],
  ["//other.example.com/x", "https://other.example.com/x"],
  ["https://other.example.com/x?page=2#top", "https://other.example.com/x?page=2#top"],
  ["things/7?page=2", "things/7?page=2"],
  ["?page=2", "?page=2"],
  ["https://user:pass@api.example.com/x", `${ORIGIN}/x`],
  ["https://app.example.com/cb?code=abc&state=1", "https://app.example.com/cb?state=1"],
  ["https://app.example.com/cb?a=1&access_token=abc&b=2", "https://app.example.com/cb?a=1&b=2"],
  ["https://app.example.com/cb?a=1&token=abc", "https://app.example.com/cb?a=1"],
  ["https://app.example.com/cb?ACCESS%5Ftoken=abc", "https://app.example.com/cb"],
  [
    "https://app.example.com/cb#access_token=abc&token_type=bearer",
    "https://app.example.com/cb#token_type=bearer",
  ],
  ["https://app.example.com/cb?code=abc#id_token=def", "https://app.example.com/cb"],
  ["https://app.example.com/cb?code=abc#top", "https://app.example.com/cb#top"],
  ["https://app.example.com/#/cb?code=abc", "https://app.example.com/#/cb"],
  ["https://app.example.com/cb?a=1;sig=abc", "https://app.example.com/cb?a=1"],
  ["/cb?key=abc&%zz=1", `${ORIGIN}/cb`],
  ["cb?sig=abc&a=b", "cb?a=b"],
  ["app.example:/cb?code=abc", "app.example:/cb"],
  [`/x?y=${SECRET}`, `${ORIGIN}/x?y=${REMOVED}`],
])("Location %s becomes %s", (given, expected) => {
  expect(location(given)).toBe(expected);
});

test("a Location that is no URL goes", () => {
  expect(passed(["Location", "https://[x"], ["Date", "y"])).toEqual([["Date", "y"]]);
});

test.each([
  ["too many", Array.from({ length: 101 }, (): [string, string] => ["X-A", "1"])],
  ["too large", Array.from({ length: 5 }, (): [string, string] => ["X-A", "1".repeat(8_000)])],
])("headers that are %s are refused", (_, headers) => {
  expect(() => passed(...headers)).toThrow(expect.objectContaining({ failure: "answer_unusable" }));
});
