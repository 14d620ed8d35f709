import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type TLSSocket } from "node:tls";
import { describe, expect, test } from "vitest";
import { pinsOf } from "../../../services/shared/broker/pinned.ts";
import { Secret } from "../../../services/shared/secret.ts";
import { type ListenerOptions, startListener } from "../../../services/worker/broker/listener.ts";
import { newCertificate, type Pair } from "../../harness/broker.ts";

const [broker, intake, other] = [
  newCertificate("broker"),
  newCertificate("intake"),
  newCertificate("intake"),
];

async function start(changes: Partial<ListenerOptions> = {}) {
  const seen: string[] = [];
  const listener = await startListener({
    listen: "127.0.0.1:0",
    tls: { cert: broker.certificate, key: new Secret(broker.key) },
    intakes: pinsOf(intake.certificate, "INTAKES"),
    answer: (path, request, response) => {
      seen.push(path);
      request.resume().once("end", () => response.end("answered"));
    },
    ...changes,
  });
  return { ...listener, seen };
}

interface Spoken {
  text: string;
  error: string | undefined;
}

/** Sends a text over TLS and returns what comes until the connection ends. */
function speak(port: number, client: Pair | undefined, sent: string, options: object = {}): Promise<Spoken> {
  return new Promise((resolve) => {
    let text = "";
    let error: string | undefined;
    const socket: TLSSocket = connect({
      ...{ host: "127.0.0.1", port, rejectUnauthorized: false },
      ...(client && { cert: client.certificate, key: client.key }),
      ...options,
    });
    socket.on("secureConnect", () => socket.write(sent));
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (text.endsWith("answered") || text.endsWith("ok") || text.endsWith("\r\n0\r\n\r\n")) socket.end();
    });
    socket.on("error", (failure: NodeJS.ErrnoException) => {
      error = failure.code;
    });
    socket.on("close", () => resolve({ text, error }));
  });
}

const post = (path = "/use") => `POST ${path} HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\n`;

/** A certificate that the intake's key has signed, as if the pinned one were an authority. */
function signedByIntake(): Pair {
  const folder = mkdtempSync(join(tmpdir(), "strongroom-listener-"));
  const at = (name: string) => join(folder, name);
  const ssl = (...args: string[]) => execFileSync("openssl", args, { stdio: "ignore" });
  try {
    execFileSync("sh", ["-c", `cat > ${at("ca.pem")}`], { input: intake.certificate });
    execFileSync("sh", ["-c", `cat > ${at("ca-key.pem")}`], { input: intake.key });
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", at("key.pem")];
    ssl("req", "-new", ...key, "-subj", "/CN=intake", "-out", at("request.pem"));
    const ca = ["-CA", at("ca.pem"), "-CAkey", at("ca-key.pem"), "-CAcreateserial"];
    ssl("x509", "-req", "-in", at("request.pem"), ...ca, "-days", "2", "-out", at("cert.pem"));
    return {
      certificate: readFileSync(at("cert.pem"), "utf8") + intake.certificate,
      key: readFileSync(at("key.pem"), "utf8"),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe("the listener", () => {
  test("lets the pinned certificate in, over TLS 1.3 alone", async ({ onTestFinished }) => {
    const listener = await start();
    onTestFinished(() => listener.stop(0));
    expect((await speak(listener.port, intake, post())).text).toContain("answered");
    expect((await speak(listener.port, intake, "GET /healthz HTTP/1.1\r\nHost: b\r\n\r\n")).text).toMatch(
      /^HTTP\/1.1 200 [\s\S]*ok$/,
    );
    const older = await speak(listener.port, intake, post(), { maxVersion: "TLSv1.2" });
    expect(older).toMatchObject({ text: "", error: expect.stringMatching(/^ERR_SSL|EPROTO/) });
    expect(listener.seen).toEqual(["/use"]);
  });

  test("ends everyone else before a byte of HTTP is read", async ({ onTestFinished }) => {
    const listener = await start();
    onTestFinished(() => listener.stop(0));
    const strangers: [string, Pair | undefined][] = [
      ["no certificate", undefined],
      ["another one of the same name", other],
      ["the broker's own", broker],
      ["one that the pinned key has signed", signedByIntake()],
    ];
    for (const [name, client] of strangers) {
      for (const sent of [post(), "GET /healthz HTTP/1.1\r\nHost: b\r\n\r\n"]) {
        expect((await speak(listener.port, client, sent)).text, name).toBe("");
      }
    }
    // The pinned certificate with another key: the handshake itself fails.
    const stolen = { certificate: intake.certificate, key: other.key };
    await expect(async () => speak(listener.port, stolen, post())).rejects.toThrow();
    expect(listener.seen).toEqual([]);
  });

  test("a second certificate can be pinned, so that one is replaced without an interruption", async ({
    onTestFinished,
  }) => {
    const intakes = pinsOf(`${intake.certificate}\n${other.certificate}`, "INTAKES");
    const listener = await start({ intakes });
    onTestFinished(() => listener.stop(0));
    for (const client of [intake, other]) {
      expect((await speak(listener.port, client, post())).text).toContain("answered");
    }
  });

  test("takes POST alone, and no other protocol", async ({ onTestFinished }) => {
    const listener = await start();
    onTestFinished(() => listener.stop(0));
    const requests = [
      "GET /use HTTP/1.1\r\nHost: b\r\n\r\n",
      "PUT /use HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\n",
      "CONNECT a:443 HTTP/1.1\r\nHost: b\r\n\r\n",
      "POST /use HTTP/1.1\r\nHost: b\r\nExpect: 100-continue\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
      "POST /use HTTP/1.1\r\nHost: b\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      `POST /use HTTP/1.1\r\nHost: b\r\nX: ${"x".repeat(9_000)}\r\n\r\n`,
      "hello\r\n\r\n",
    ];
    for (const request of requests) {
      const { text } = await speak(listener.port, intake, request);
      expect(text, request.slice(0, 40)).not.toContain(" 200 ");
    }
    expect(listener.seen).toEqual([]);
  });

  test("waits neither for a handshake nor for a head", { timeout: 20_000 }, async ({ onTestFinished }) => {
    const listener = await start();
    onTestFinished(() => listener.stop(0));
    const since = performance.now();
    const silent = new Promise((resolve) => {
      connectTcp(listener.port, "127.0.0.1")
        .on("close", resolve)
        .on("error", () => {})
        .resume();
    });
    const half = speak(listener.port, intake, "POST /use HTTP/1.1\r\nHost:");
    await Promise.all([silent, half]);
    expect(performance.now() - since).toBeLessThan(12_000);
  });

  test("lets requests in hand end when it stops, within its grace", async () => {
    const finish: (() => void)[] = [];
    const listener = await start({
      answer: (_path, _request, response) => {
        response.writeHead(200).write("begun ");
        finish.push(() => response.end("answered"));
      },
    });
    const idle = speak(listener.port, intake, "GET /healthz HTTP/1.1\r\nHost: b\r\n\r\n");
    await idle;
    const spoken = speak(listener.port, intake, post());
    await expect.poll(() => finish).toHaveLength(1);
    const stopped = listener.stop(10_000);
    await sleep(50);
    expect((await speak(listener.port, intake, post())).error).toBe("ECONNREFUSED");
    finish[0]?.();
    expect((await spoken).text).toContain("answered");
    await stopped;

    const slow = await start({
      answer: (_path, _request, response) => void response.writeHead(200).write("x"),
    });
    const cut = speak(slow.port, intake, post());
    await expect.poll(async () => slow.port).toBeGreaterThan(0);
    await sleep(100);
    const since = performance.now();
    await slow.stop(100);
    expect(performance.now() - since).toBeLessThan(5_000);
    expect((await cut).text).not.toContain("answered");
  });
});
