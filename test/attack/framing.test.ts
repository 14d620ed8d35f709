import { setTimeout } from "node:timers/promises";
import { beforeEach, describe, expect } from "vitest";
import { startCorpus } from "../harness/corpus.ts";
import { test } from "../harness/fixtures.ts";
import type { TestGateway } from "../harness/gateway.ts";
import type { Recorder } from "../harness/recorder.ts";
import type { TestIssuer } from "../harness/tokens.ts";

let issuer: TestIssuer;
let recorder: Recorder;
let gateway: TestGateway;
let token: string;
test.beforeAll(({ recordedGateway }) => {
  ({ issuer, recorder, gateway } = recordedGateway);
  token = issuer.token({ [issuer.issuer.groupsClaim]: ["admin"] });
});

const corpus = startCorpus("request framing");

/** A request of the attacker's own, good by itself, that somebody in front took for part of another's. */
const smuggled = () =>
  `GET /v1/secret/data/smuggled HTTP/1.1\r\nHost: x\r\nX-Vault-Token: ${token}\r\nConnection: close\r\n\r\n`;
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;

/** A write whose framing headers and body are given; what follows it on the connection is the smuggled one. */
const write = (headers: string[], body: string) =>
  [
    "POST /v1/secret/data/app HTTP/1.1",
    "Host: x",
    `X-Vault-Token: ${token}`,
    "Content-Type: application/json",
    ...headers,
    "",
    body,
  ].join("\r\n");
const GOOD = '{"data":{}}';
const length = `Content-Length: ${GOOD.length}`;
const chunked = "Transfer-Encoding: chunked";

/** Each makes bytes that two readers may take apart in two ways. */
const AMBIGUOUS: Record<string, () => string> = {
  "length and chunks": () => write([length, chunked], `0\r\n\r\n${smuggled()}`),
  "chunks and length": () => write([chunked, length], `0\r\n\r\n${smuggled()}`),
  "chunks, and a length that covers the next request": () =>
    write([chunked, `Content-Length: ${smuggled().length + 5}`], `0\r\n\r\n${smuggled()}`),
  "two lengths": () => write([length, "Content-Length: 0"], GOOD + smuggled()),
  "the same length twice": () => write([length, length], GOOD + smuggled()),
  "two lengths in one": () => write([`${length}, ${GOOD.length}`], GOOD + smuggled()),
  "two lengths, one of another case": () => write([length, "content-LENGTH: 0"], GOOD + smuggled()),
  ...Object.fromEntries(
    [
      "+11",
      "-11",
      "0x0b",
      "11.0",
      "1e1",
      "1 1",
      "11;",
      "eleven",
      "",
      "0b",
      "\u00b21",
      "99999999999999999999",
    ].map((value) => [`length ${value}`, () => write([`Content-Length: ${value}`], GOOD + smuggled())]),
  ),
  ...Object.fromEntries(
    [
      ...[
        "xchunked",
        "chunked, identity",
        "identity, chunked",
        "chunked, chunked",
        "chunked;q=1",
        '"chunked"',
      ],
      ...["gzip, chunked", "chunked, gzip", "identity", "\u000bchunked", "chunked\u000b", "x", "cow"],
      ...["chunked\u0000", "chunk\ted", "gzip", "compress"],
    ].map((value) => [
      `coding ${JSON.stringify(value)}`,
      () => write([`Transfer-Encoding: ${value}`, length], `0\r\n\r\n${smuggled()}`),
    ]),
  ),
  "two codings": () => write([chunked, "Transfer-Encoding: identity"], `0\r\n\r\n${smuggled()}`),
  "two codings, the second a good one": () =>
    write(["Transfer-Encoding: x", chunked, length], `0\r\n\r\n${smuggled()}`),
  "a space before the colon": () => write(["Transfer-Encoding : chunked", length], GOOD + smuggled()),
  "a tab before the colon": () => write([length, "Transfer-Encoding\t: chunked"], GOOD + smuggled()),
  "a space before the name": () => write([length, " Transfer-Encoding: chunked"], GOOD + smuggled()),
  "a folded header": () => write([length, "Transfer-Encoding:\r\n chunked"], GOOD + smuggled()),
  "a name in two lines": () => write([length, "Transfer\r\n-Encoding: chunked"], GOOD + smuggled()),
  "a line break of CR alone": () => write([`${length}\rTransfer-Encoding: chunked`], GOOD + smuggled()),
  "a header in a header's value": () => write([`X: y\r${length}`], smuggled()),
  "a null in a name": () => write([length, "Transfer\u0000-Encoding: chunked"], GOOD + smuggled()),
  "a null in a value": () => write([length, "X: a\u0000b"], GOOD + smuggled()),
  "a name without a colon": () => write([length, "Transfer-Encoding chunked"], GOOD + smuggled()),
  "chunk size with a sign": () => write([chunked], `+${chunk(GOOD)}0\r\n\r\n${smuggled()}`),
  "chunk size below nothing": () => write([chunked], `-1\r\n${GOOD}\r\n0\r\n\r\n${smuggled()}`),
  "chunk size with 0x": () => write([chunked], `0x${chunk(GOOD)}0\r\n\r\n${smuggled()}`),
  "chunk size with a space before": () => write([chunked], ` ${chunk(GOOD)}0\r\n\r\n${smuggled()}`),
  "chunk size beyond 64 bits": () =>
    write([chunked], `1000000000000000b\r\n${GOOD}\r\n0\r\n\r\n${smuggled()}`),
  "no chunk size": () => write([chunked], `\r\n${GOOD}\r\n0\r\n\r\n${smuggled()}`),
  "a chunk longer than said": () => write([chunked], `5\r\n${GOOD}\r\n0\r\n\r\n${smuggled()}`),
  "a chunk without its line break": () => write([chunked], `b\r\n${GOOD}0\r\n\r\n${smuggled()}`),
  "a chunk size ended by LF alone": () => write([chunked], `b\n${GOOD}\r\n0\r\n\r\n${smuggled()}`),
  "a chunk size ended by CR alone": () => write([chunked], `b\r${GOOD}\r\n0\r\n\r\n${smuggled()}`),
  "a chunk ended by LF alone": () => write([chunked], `b\r\n${GOOD}\n0\r\n\r\n${smuggled()}`),
  "an extension with a line break": () => write([chunked], `b;x=\n${GOOD}\r\n0\r\n\r\n${smuggled()}`),
  "extensions without end": () => write([chunked], `b;${"x".repeat(40_000)}\r\n${GOOD}\r\n0\r\n\r\n`),
  "chunks by HTTP/1.0": () =>
    write([chunked], `${chunk(GOOD)}0\r\n\r\n${smuggled()}`).replace("HTTP/1.1", "HTTP/1.0"),
  "line breaks of LF alone": () => write([length], GOOD + smuggled()).replaceAll("\r\n", "\n"),
  "HTTP/0.9": () => `GET /v1/secret/data/app\r\n${smuggled()}`,
  "HTTP/1.2": () => write([length], GOOD + smuggled()).replace("HTTP/1.1", "HTTP/1.2"),
  "HTTP/2.0": () => write([length], GOOD + smuggled()).replace("HTTP/1.1", "HTTP/2.0"),
  "HTTP/11": () => write([length], GOOD + smuggled()).replace("HTTP/1.1", "HTTP/11"),
  "http/1.1": () => write([length], GOOD + smuggled()).replace("HTTP/1.1", "http/1.1"),
  "the preface of HTTP/2": () => `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${smuggled()}`,
  "a tab in the request line": () => write([length], GOOD).replace("POST /", "POST\t/"),
  "something after the version": () => write([length], GOOD + smuggled()).replace("HTTP/1.1", "HTTP/1.1 x"),
  "a space in the target": () => write([length], GOOD + smuggled()).replace("data/app", "data/app HTTP/1.1"),
  "a line break in the target": () => write([length], GOOD).replace("data/app", "data/app\r\nX: y"),
  "a tunnel": () =>
    `CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: x\r\nX-Vault-Token: ${token}\r\n\r\n${smuggled()}`,
};

describe("what may be framed in two ways", () => {
  test.each(
    Object.entries(AMBIGUOUS),
  )("%s is refused, and what follows it is not read", async (name, make) => {
    const answer = await gateway.raw(make());
    corpus.count(name, {
      accepted: /^HTTP\/1\.1 2/m.test(answer),
      forwarded: recorder.requests.length > 0,
    });
    // One answer, or none, and then the connection ends.
    expect(answer).toMatch(/^(HTTP\/1\.1 4\d\d |$)/);
    expect(answer.match(/HTTP\/1\.1 \d{3} /g) ?? []).toHaveLength(answer === "" ? 0 : 1);
  });

  test("nor later, once it has been answered", async () => {
    await setTimeout(300);
    expect(recorder.requests).toEqual([]);
    expect(recorder.connections).toBe(0);
    expect(corpus.tried).toBe(Object.keys(AMBIGUOUS).length);
    expect([...corpus.accepted, ...corpus.forwarded]).toEqual([]);
  });
});

describe("without the ambiguity", () => {
  beforeEach(() => recorder.clear());
  const urls = () => recorder.requests.map(({ url }) => url).filter((url) => !url.endsWith("/login"));

  test("a write by length or in chunks is one request, and its body is what was sent", async () => {
    for (const bytes of [
      write([length, "Connection: close"], GOOD),
      write([chunked, "Connection: close"], `${chunk('{"data"')}${chunk(":{}}")}0\r\n\r\n`),
      write([chunked, "Connection: close"], `b;name=value\r\n${GOOD}\r\n0\r\nX-Vault-Token: root\r\n\r\n`),
    ]) {
      recorder.clear();
      expect(await gateway.raw(bytes)).toMatch(/^HTTP\/1\.1 200 /);
      expect(urls()).toEqual(["/v1/secret/data/app"]);
      expect(recorder.requests.at(-1)).toMatchObject({ body: GOOD });
      expect(recorder.requests.at(-1)?.headers["x-vault-token"]).toBe("hvb.recorder");
    }
  });

  test("a request in the body of another stays a body", async () => {
    for (const verb of ["GET", "DELETE", "POST"]) {
      recorder.clear();
      const body = verb === "POST" ? JSON.stringify({ data: { text: smuggled() } }) : smuggled();
      const headers = [`Content-Length: ${body.length}`, "Connection: close"];
      const answer = await gateway.raw(write(headers, body).replace("POST", verb));
      expect(answer).toMatch(/^HTTP\/1\.1 200 /);
      expect(answer.match(/HTTP\/1\.1 \d{3} /g)).toHaveLength(1);
      expect(urls()).toEqual(["/v1/secret/data/app"]);
    }
  });

  test("two requests in one packet are two, each with its own caller", async () => {
    const other = issuer.token({ sub: "other" });
    const first = write([length], GOOD);
    const answer = await gateway.raw(first + smuggled().replace(token, other));
    expect(answer.match(/HTTP\/1\.1 200 /g)).toHaveLength(2);
    const logins = recorder.requests.filter(({ url }) => url.endsWith("/login"));
    expect(logins.map(({ body }) => JSON.parse(body).jwt)).toContain(other);
    expect(urls().sort()).toEqual(["/v1/secret/data/app", "/v1/secret/data/smuggled"]);
  });

  test("one without its own token gets nothing of the one before it", async () => {
    const answer = await gateway.raw(write([length], GOOD) + smuggled().replace(/X-Vault-Token: .*\r\n/, ""));
    expect(answer.match(/HTTP\/1\.1 \d{3} /g)).toEqual(["HTTP/1.1 200 ", "HTTP/1.1 401 "]);
    expect(urls()).toEqual(["/v1/secret/data/app"]);
  });

  test("one without a host is refused alone, and what follows is another request", async () => {
    const answer = await gateway.raw(write([length], GOOD).replace("Host: x\r\n", "") + smuggled());
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(urls()).not.toContain("/v1/secret/data/app");
  });

  test("another protocol is not switched to", async () => {
    const upgrade = ["Connection: Upgrade, HTTP2-Settings, close", "Upgrade: h2c", "HTTP2-Settings: AAAA"];
    expect(await gateway.raw(write([length, ...upgrade], GOOD))).toMatch(/^HTTP\/1\.1 200 /);
    const socket = ["Connection: Upgrade, close", "Upgrade: websocket", "Sec-WebSocket-Key: AAAA"];
    expect(await gateway.raw(write([length, ...socket], GOOD))).toMatch(/^HTTP\/1\.1 200 /);
    expect(recorder.requests.every(({ headers }) => headers.upgrade === undefined)).toBe(true);
  });
});
