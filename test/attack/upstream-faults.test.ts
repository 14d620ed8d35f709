import { randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { type Answer, startGateway, type TestGateway } from "../harness/gateway.ts";
import { answerAsVault, type Recorded, type Recorder, startRecorder } from "../harness/recorder.ts";
import { startIssuer, type TestIssuer } from "../harness/tokens.ts";
import { type InternalVault, startInternalVault } from "../harness/vault.ts";

const PATH = "/v1/secret/data/app/db";
/** Short ones, so that a test need not wait for the usual. */
const TIMES = { connectMs: 500, silenceMs: 400, wholeMs: 1_500 };
/** What no part of an answer may be kept of. */
const SECRET = "s3cret-of-acme";

let internal: InternalVault;
let issuer: TestIssuer;
let other: TestIssuer;
let acme: Recorder;
let globex: Recorder;
let gateway: TestGateway;
beforeAll(async () => {
  internal = await startInternalVault(inject("vaultBinary"));
  [issuer, other] = await Promise.all([
    startIssuer(),
    startIssuer({ issuer: "https://globex.example/", audience: "https://globex.example/api" }),
  ]);
  [acme, globex] = await Promise.all([startRecorder(internal), startRecorder(internal)]);
});
afterAll(async () => {
  await Promise.all([acme?.close(), globex?.close(), issuer?.close(), other?.close()]);
  await internal?.stop();
});
beforeEach(async () => {
  for (const recorder of [acme, globex]) {
    recorder.clear();
    recorder.answer = undefined;
  }
  const orgs = [
    { id: acme.org, claim: "org_acme", address: acme.address },
    { id: globex.org, issuer: other.issuer.issuer, claim: "org_acme", address: globex.address },
  ];
  gateway = await startGateway({ issuers: [issuer, other], ca: internal.ca, orgs, upstreamTimes: TIMES });
});
afterEach(async () => {
  await gateway.close();
});

const newToken = () => issuer.token({ sub: randomUUID() });
const ask = (token = newToken()) => gateway.call("GET", PATH, { token });
const reads = () => acme.requests.filter(({ url }) => url === PATH).length;

/** What acme's Vault does to a read; it logs callers in as ever. */
function faulty(answer: (response: ServerResponse, request: Recorded) => void): void {
  acme.answer = (request, response) => {
    if (request.url.endsWith("/login")) answerAsVault(request, response);
    else answer(response, request);
  };
}

/** The outcome of a call, whether it was answered whole or broken off. */
const outcome = (answer: Promise<Answer>): Promise<Answer | { broken: string }> =>
  answer.catch((error: NodeJS.ErrnoException) => ({ broken: error.code ?? error.message }));

/** A head written past Node's own checks. */
const bytes = (response: ServerResponse, text: string) => response.socket?.write(text);

const FAULTS: [name: string, fault: (response: ServerResponse) => void, expected: 503 | 504 | "broken"][] = [
  ["sealed", (r) => r.writeHead(503).end('{"errors":["Vault is sealed"]}'), 503],
  ["hanging before its answer", () => {}, 504],
  ["hanging up before its answer", (r) => r.socket?.destroy(), 503],
  ["hanging after the head", (r) => r.writeHead(200, { "Content-Length": "100" }).flushHeaders(), "broken"],
  [
    "hanging in the middle",
    (r) => void r.writeHead(200, { "Content-Length": "100" }).write(`{"data":"${SECRET}`),
    "broken",
  ],
  [
    "hanging up in the middle",
    (r) => void r.write(`{"data":"${SECRET}`, () => r.socket?.destroy()),
    "broken",
  ],
  [
    "ending before its length",
    (r) => void r.writeHead(200, { "Content-Length": "100" }).write("{}", () => r.socket?.end()),
    "broken",
  ],
  [
    "two lengths",
    (r) => bytes(r, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}}"),
    503,
  ],
  ["a length that is none", (r) => bytes(r, "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}"), 503],
  ["no HTTP", (r) => bytes(r, "hello\r\n\r\n"), 503],
  ["a head without end", (r) => bytes(r, `HTTP/1.1 200 OK\r\nX: ${"y".repeat(200_000)}\r\n\r\n{}`), 503],
  [
    "a bad chunk",
    (r) => bytes(r, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n"),
    "broken",
  ],
  [
    "another protocol",
    (r) => bytes(r, "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    503,
  ],
  [
    "a hint before the answer",
    (r) => bytes(r, "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
    "broken",
  ],
  ["a 100 that nobody waits for", (r) => bytes(r, "HTTP/1.1 100 Continue\r\n\r\n"), 503],
  ["a redirect", (r) => r.writeHead(307, { Location: "https://10.0.0.1/" }).end(), 503],
];

describe("a Vault that is", () => {
  test.each(FAULTS)("%s: one try, told in bounded time, nothing kept", async (_name, fault, expected) => {
    faulty(fault);
    const token = newToken();
    const began = performance.now();
    const result = await outcome(ask(token));
    expect(performance.now() - began).toBeLessThan(5_000);
    if (expected === "broken") expect(result).toMatchObject({ broken: expect.any(String) });
    else expect(result).toMatchObject({ status: expected });
    if (expected === 503) expect(result).toMatchObject({ headers: { "retry-after": "1" } });
    expect(reads()).toBe(1);
    // The connection it happened on is not used again, and nothing of the answer is.
    acme.answer = undefined;
    const again = await ask(token);
    expect(again).toMatchObject({ status: 200, text: '{"data":{}}' });
  });

  test("longer than it said: the caller gets what was said, and the rest is nobody's answer", async () => {
    faulty((response) =>
      bytes(
        response,
        `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"injected`,
      ),
    );
    const result = await outcome(ask());
    if ("status" in result) expect(result.text).toBe("{}");
    acme.answer = undefined;
    for (let i = 0; i < 5; i++) expect((await ask()).text).toBe('{"data":{}}');
  });

  test("answering before it is asked: that is nobody's answer either", async () => {
    await ask();
    acme.inject('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"injected"');
    for (let i = 0; i < 5; i++) {
      const result = await outcome(ask());
      if ("status" in result) expect(result.text).not.toContain("injected");
    }
    expect((await ask()).text).toBe('{"data":{}}');
  });

  test("sending a byte now and then: it ends after the time for all of it", async () => {
    faulty((response) => {
      response.writeHead(200, { "Content-Length": "1000" });
      const drip = setInterval(() => response.write("x"), 100);
      response.on("close", () => clearInterval(drip));
    });
    const began = performance.now();
    expect(await outcome(ask())).toMatchObject({ broken: "ECONNRESET" });
    expect(performance.now() - began).toBeGreaterThan(TIMES.wholeMs - 100);
    expect(performance.now() - began).toBeLessThan(TIMES.wholeMs + 3_000);
  });

  test("sending without end: it ends at 32 MiB, and memory stays flat", async () => {
    let sent = 0;
    const piece = Buffer.alloc(256 * 1024, "x");
    faulty((response) => {
      const more = () => {
        while (!response.destroyed && sent < 1024 ** 3) {
          sent += piece.length;
          if (!response.write(piece)) return void response.once("drain", more);
        }
      };
      more();
    });
    const slow = await startGateway({
      ...{ issuers: [issuer], ca: internal.ca },
      orgs: [{ id: acme.org, claim: "org_acme", address: acme.address }],
    });
    try {
      const before = process.memoryUsage().rss;
      const result = await slow.raw(
        `GET ${PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Vault-Token: ${newToken()}\r\n\r\n`,
      );
      expect(result.length).toBeLessThan(33 * 1024 ** 2);
      expect(result.endsWith("0\r\n\r\n")).toBe(false);
      expect(sent).toBeLessThan(48 * 1024 ** 2);
      expect(process.memoryUsage().rss - before).toBeLessThan(400 * 1024 ** 2);
    } finally {
      await slow.close();
    }
  });

  test("giving a login that breaks off, or is none: it is not kept, and the next one is asked for", async () => {
    const token = newToken();
    const logins = () => acme.requests.filter(({ url }) => url.endsWith("/login")).length;
    const broken: [status: number, answer: (response: ServerResponse) => void][] = [
      [503, (r) => void r.write('{"auth":{"client_token":"hvb.partial', () => r.socket?.destroy())],
      [
        504,
        (r) => void r.writeHead(200, { "Content-Length": "500" }).write('{"auth":{"client_token":"hvb.p"}}'),
      ],
      [503, (r) => void r.end("x".repeat(100_000))],
      [503, (r) => void r.end('{"auth":{"client_token":"hvb.p"},"auth":')],
    ];
    for (const [i, [status, answer]] of broken.entries()) {
      acme.answer = (_request, response) => answer(response);
      expect(await ask(token)).toMatchObject({ status });
      expect(logins()).toBe(i + 1);
      expect(reads()).toBe(0);
    }
    acme.answer = undefined;
    expect((await ask(token)).status).toBe(200);
    expect(acme.requests.at(-1)?.headers["x-vault-token"]).toBe("hvb.recorder");
  });
});

describe("a Vault that lets its callers wait", () => {
  const globexAsk = async () => {
    const answer = await gateway.call("GET", PATH, { token: other.token({ sub: randomUUID() }) });
    expect(answer.status).toBe(200);
  };
  const hang = () => {
    acme.answer = () => {};
  };

  test("is left alone after five timeouts: its callers are told at once, other organizations notice nothing", async () => {
    hang();
    const waited = await Promise.all(Array.from({ length: 5 }, () => ask()));
    expect(waited.map(({ status }) => status)).toEqual([504, 504, 504, 504, 504]);
    const asked = acme.requests.length;
    const statuses: number[] = [];
    for (let i = 0; i < 100; i++) statuses.push((await ask()).status);
    // A probe a second may have gone through and waited, while these hundred took less than a few.
    const probes = acme.requests.length - asked;
    expect(probes).toBeLessThan(10);
    expect(statuses.toSorted()).toEqual([...Array(100 - probes).fill(503), ...Array(probes).fill(504)]);
    expect(
      gateway.log().filter(({ cause }) => cause === "it has not answered lately").length,
    ).toBeGreaterThan(90);
    for (let i = 0; i < 20; i++) await globexAsk();
  });

  test("serves again with the first probe that is answered", async () => {
    hang();
    await Promise.all(Array.from({ length: 5 }, () => ask()));
    acme.answer = undefined;
    expect((await ask()).status).toBe(503);
    await expect.poll(async () => (await ask()).status).toBe(200);
    for (let i = 0; i < 10; i++) expect((await ask()).status).toBe(200);
  });

  test("holds no more than its share: callers beyond it are told at once, and all are told in the end", async () => {
    hang();
    const token = other.token();
    const flood = Promise.all(Array.from({ length: 700 }, () => outcome(ask())));
    await expect.poll(() => acme.requests.length).toBeGreaterThan(0);
    expect((await gateway.call("GET", PATH, { token })).status).toBe(200);
    const statuses = (await flood).map((each) => ("status" in each ? each.status : each.broken));
    expect(new Set(statuses)).toEqual(new Set([503, 504]));
    expect(acme.requests.length).toBeLessThanOrEqual(64);
  });
});
