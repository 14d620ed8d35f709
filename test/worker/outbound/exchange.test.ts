import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type TLSSocket, type Server as TlsServer } from "node:tls";
import { beforeAll, describe, expect } from "vitest";
import { createExchange, type Exchange, type Sent } from "../../../services/worker/outbound/exchange.ts";
import { exceptionFor, originOf } from "../../harness/credential-jobs.ts";
import { test } from "../../harness/fixtures.ts";

interface Certificate {
  cert: string;
  key: string;
}

/** Self-signed certificates, for the names of the tests. */
let certificates: Record<"good" | "other", Certificate>;
beforeAll(() => {
  const folder = mkdtempSync(join(tmpdir(), "strongroom-test-"));
  const make = (name: string): Certificate => {
    const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
    const subject = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`];
    const pair = [
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-keyout",
      key,
      "-out",
      cert,
    ];
    execFileSync("openssl", ["req", "-x509", ...pair, ...subject, "-days", "2"], { stdio: "ignore" });
    return { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
  };
  try {
    certificates = {
      good: make("provider.example"),
      other: make("other.example"),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const never = new AbortController().signal;
const sent = (origin: string, changes: Partial<Sent> = {}): Sent => ({
  ...{ origin, method: "GET", path: "/", headers: [["X-Secret", "tiger"]], body: undefined, maxBody: 1_000 },
  ...changes,
});

/** A TLS server on a free port that treats each connection as told, and counts. */
async function startServer(
  { cert, key }: Certificate,
  react: (socket: TLSSocket, request: string) => void,
  options: object = {},
) {
  const sockets = new Set<TLSSocket>();
  const seen: string[] = [];
  const server: TlsServer = createServer({ cert, key, ...options }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (!text.includes("\r\n\r\n")) return;
      seen.push(text);
      react(socket, text);
      text = "";
    });
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `https://provider.example:${(server.address() as AddressInfo).port}`;
  return {
    ...{ origin, seen, sockets },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

const trusting = (origin: string, ca: string, totalMs = 5_000): Exchange =>
  createExchange({ privateDestinations: new Map([[origin, { origin, address: "127.0.0.1", ca }]]), totalMs });

const ok = (body = "ok", head = "") =>
  `HTTP/1.1 200 OK\r\n${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

describe("the connection", () => {
  test("is to the certificate's name, by at least TLS 1.2, with that name as SNI and Host", async ({
    onTestFinished,
  }) => {
    let servername: string | false | null = null;
    const server = await startServer(certificates.good, (socket) => {
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
      const server = await startServer(own, (socket) => socket.end(ok()), options);
      onTestFinished(server.close);
      await expect(trusting(server.origin, trusted)(sent(server.origin), never)).rejects.toMatchObject({
        failure: "unreachable",
      });
      expect(server.seen).toEqual([]);
    }
  });

  test("an exception's authority is trusted for its own origin only", async ({ onTestFinished }) => {
    const server = await startServer(certificates.good, (socket) => socket.end(ok()));
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
  const FAILING: [string, string | Buffer, string][] = [
    ["no HTTP", "hello\r\n\r\n", "answer_unusable"],
    ["a status that is none", "HTTP/1.1 abc OK\r\n\r\n", "answer_unusable"],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "answer_unusable"],
    [
      "length and chunks",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "answer_unusable",
    ],
    ["a bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "answer_unusable"],
    [
      "another protocol",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
      "answer_unusable",
    ],
    ["headers without end", `HTTP/1.1 200 OK\r\n${"X: y\r\n".repeat(10_000)}`, "answer_too_large"],
    ["one long header", `HTTP/1.1 200 OK\r\nX: ${"y".repeat(20_000)}\r\n\r\n`, "answer_too_large"],
    ["a long body", ok("x".repeat(1_001)), "answer_too_large"],
    [
      "a long body in chunks",
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${`64\r\n${"x".repeat(100)}\r\n`.repeat(11)}`,
      "answer_too_large",
    ],
    ["gzip", ok("x", "Content-Encoding: gzip\r\n"), "answer_not_scrubbable"],
    [
      "gzip, told twice",
      ok("x", "Content-Encoding: identity\r\nContent-Encoding: br\r\n"),
      "answer_not_scrubbable",
    ],
    [
      "gzip as transfer coding",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
      "answer_not_scrubbable",
    ],
    ["half a body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "unreachable"],
    ["nothing", "", "unreachable"],
    ["half a head", "HTTP/1.1 200 O", "unreachable"],
  ];
  test("that is broken fails by its class", async ({ onTestFinished }) => {
    for (const [name, bytes, failure] of FAILING) {
      const server = await startServer(certificates.good, (socket) => socket.end(bytes));
      onTestFinished(server.close);
      const exchange = trusting(server.origin, certificates.good.cert);
      await expect(exchange(sent(server.origin), never), name).rejects.toMatchObject({ failure });
    }
  });

  test("after informational ones is the final one", async ({ onTestFinished }) => {
    const server = await startServer(certificates.good, (socket) =>
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
      const server = await startServer(certificates.good, react);
      onTestFinished(server.close);
      const since = performance.now();
      const exchange = trusting(server.origin, certificates.good.cert, 300);
      await expect(exchange(sent(server.origin), never)).rejects.toMatchObject({ name: "JobFailure" });
      expect(performance.now() - since).toBeLessThan(3_000);
      await expect.poll(() => [...server.sockets].every(({ destroyed }) => destroyed)).toBe(true);
    }
  });

  test("is not waited for once the job is given up", async ({ onTestFinished }) => {
    const server = await startServer(certificates.good, () => {});
    onTestFinished(server.close);
    const giveUp = new AbortController();
    const answer = trusting(server.origin, certificates.good.cert)(sent(server.origin), giveUp.signal);
    await expect.poll(() => server.seen).toHaveLength(1);
    giveUp.abort(new Error("stopped"));
    await expect(answer).rejects.toThrow("stopped");
    await expect.poll(() => [...server.sockets].every(({ destroyed }) => destroyed)).toBe(true);
  });

  test("to HEAD has no body, and one that is cut is as long as asked", async ({ onTestFinished }) => {
    const server = await startServer(certificates.good, (socket, request) =>
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
