import type { TLSSocket } from "node:tls";
import { describe, expect } from "vitest";
import { createExchange, type Exchange, type Sent } from "../../../services/worker/outbound/exchange.ts";
import { exceptionFor, originOf } from "../../harness/credential-jobs.ts";
import { test } from "../../harness/fixtures.ts";
import {
  BROKEN_ANSWERS,
  type Certificate,
  certificateOf,
  ok,
  startRawDestination,
} from "../../harness/raw-destination.ts";

/** Self-signed certificates, for the names of the tests. */
const certificates = { good: certificateOf("provider.example"), other: certificateOf("other.example") };

const never = new AbortController().signal;
const sent = (origin: string, changes: Partial<Sent> = {}): Sent => ({
  ...{ origin, method: "GET", path: "/", headers: [["X-Secret", "tiger"]], body: undefined, maxBody: 1_000 },
  ...changes,
});

const trusting = (origin: string, ca: string, totalMs = 5_000): Exchange =>
  createExchange({ privateDestinations: new Map([[origin, { origin, address: "127.0.0.1", ca }]]), totalMs });

describe("the connection", () => {
  test("is to the certificate's name, by at least TLS 1.2, with that name as SNI and Host", async ({
    onTestFinished,
  }) => {
    let servername: string | false | null = null;
    const server = await startRawDestination(certificates.good, (socket) => {
      servername = socket.servername as string;
      socket.end(ok());
    });
    onTestFinished(server.close);
    const answer = await trusting(server.origin, certificates.good.cert)(sent(server.origin), never);
    expect(answer).toMatchObject({ status: 200, body: Buffer.from("ok") });
    expect(servername).toBe("provider.example");
    expect(server.seen[0]?.split("\r\n")).toEqual([
      ...[
        "GET / HTTP/1.1",
        `Host: ${new URL(server.origin).host}`,
        "Connection: close",
        "X-Secret: tiger",
        "",
        "",
      ],
    ]);
  });

  test("with a certificate that is not trusted, another name's, or an old TLS: nothing is sent", async ({
    onTestFinished,
  }) => {
    const { good, other } = certificates;
    const cases: [Certificate, string, object][] = [
      [good, other.cert, {}],
      [other, other.cert, {}],
      [good, good.cert, { maxVersion: "TLSv1.1", minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" }],
    ];
    for (const [own, trusted, options] of cases) {
      const server = await startRawDestination(own, (socket) => socket.end(ok()), options);
      onTestFinished(server.close);
      await expect(trusting(server.origin, trusted)(sent(server.origin), never)).rejects.toMatchObject({
        failure: "unreachable",
      });
      expect(server.seen).toEqual([]);
    }
  });

  test("an exception's authority is trusted for its own origin only", async ({ onTestFinished }) => {
    const server = await startRawDestination(certificates.good, (socket) => socket.end(ok()));
    onTestFinished(server.close);
    const elsewhere = "https://elsewhere.example";
    const exchange = createExchange({
      privateDestinations: new Map([
        [elsewhere, { origin: elsewhere, address: "127.0.0.1", ca: certificates.good.cert }],
        [server.origin, { origin: server.origin, address: "127.0.0.1" }],
      ]),
    });
    await expect(exchange(sent(server.origin), never)).rejects.toMatchObject({ failure: "unreachable" });
    expect(server.seen).toEqual([]);
  });

  test("is a new one for each request, and does not stay", async ({
    recordedOrg: { internal, recorder },
  }) => {
    const exception = exceptionFor(recorder, internal.ca);
    const exchange = trusting(exception.origin, internal.ca);
    recorder.clear();
    for (let count = 1; count <= 3; count++) {
      await exchange(sent(originOf(recorder)), never);
      expect(recorder.connections).toBe(count);
    }
  });

  test("goes by no proxy of the environment", async ({
    recordedOrg: { internal, recorder },
    onTestFinished,
  }) => {
    const names = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "NODE_USE_ENV_PROXY"];
    onTestFinished(() => {
      for (const name of names) delete process.env[name];
    });
    for (const name of names) process.env[name] = name === "NODE_USE_ENV_PROXY" ? "1" : "http://127.0.0.1:1";
    const exchange = trusting(originOf(recorder), internal.ca);
    expect(await exchange(sent(originOf(recorder)), never)).toMatchObject({ status: 200 });
  });
});

describe("an answer", () => {
  const FAILING = [
    ...BROKEN_ANSWERS,
    ["a long body", ok("x".repeat(1_001)), "answer_too_large"],
    [
      "a long body in chunks",
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${`64\r\n${"x".repeat(100)}\r\n`.repeat(11)}`,
      "answer_too_large",
    ],
  ] as const;
  test("that is broken fails by its class", async ({ onTestFinished }) => {
    for (const [name, bytes, failure] of FAILING) {
      const server = await startRawDestination(certificates.good, (socket) => socket.end(bytes));
      onTestFinished(server.close);
      const exchange = trusting(server.origin, certificates.good.cert);
      await expect(exchange(sent(server.origin), never), name).rejects.toMatchObject({ failure });
    }
  });

  test("after informational ones is the final one", async ({ onTestFinished }) => {
    const server = await startRawDestination(certificates.good, (socket) =>
      socket.end(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${ok("final")}`),
    );
    onTestFinished(server.close);
    const exchange = trusting(server.origin, certificates.good.cert);
    expect(await exchange(sent(server.origin), never)).toMatchObject({
      status: 200,
      body: Buffer.from("final"),
    });
  });

  test("that trickles, or never comes, ends in time", async ({ onTestFinished }) => {
    const drip = (text: string) => (socket: TLSSocket) => {
      const timer = setInterval(() => socket.write(text), 20);
      socket.on("close", () => clearInterval(timer));
    };
    const silent = () => {};
    const body = (socket: TLSSocket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n");
      drip("x")(socket);
    };
    const hints = drip("HTTP/1.1 103 Early Hints\r\n\r\n");
    for (const react of [silent, body, hints, drip("H")]) {
      const server = await startRawDestination(certificates.good, react);
      onTestFinished(server.close);
      const since = performance.now();
      const exchange = trusting(server.origin, certificates.good.cert, 300);
      await expect(exchange(sent(server.origin), never)).rejects.toMatchObject({ name: "JobFailure" });
      expect(performance.now() - since).toBeLessThan(3_000);
      await expect.poll(() => [...server.sockets].every(({ destroyed }) => destroyed)).toBe(true);
    }
  });

  test("is not waited for once the job is given up", async ({ onTestFinished }) => {
    const server = await startRawDestination(certificates.good, () => {});
    onTestFinished(server.close);
    const giveUp = new AbortController();
    const answer = trusting(server.origin, certificates.good.cert)(sent(server.origin), giveUp.signal);
    await expect.poll(() => server.seen).toHaveLength(1);
    giveUp.abort(new Error("stopped"));
    await expect(answer).rejects.toThrow("stopped");
    await expect.poll(() => [...server.sockets].every(({ destroyed }) => destroyed)).toBe(true);
  });

  test("to HEAD has no body, and one that is cut is as long as asked", async ({ onTestFinished }) => {
    const server = await startRawDestination(certificates.good, (socket, request) =>
      socket.end(
        request.startsWith("HEAD")
          ? "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"
          : ok("x".repeat(5_000)),
      ),
    );
    onTestFinished(server.close);
    const exchange = trusting(server.origin, certificates.good.cert);
    expect(await exchange(sent(server.origin, { method: "HEAD" }), never)).toMatchObject({
      body: Buffer.alloc(0),
    });
    const cut = await exchange(sent(server.origin, { truncate: true }), never);
    expect(cut.body).toHaveLength(1_000);
  });
});
