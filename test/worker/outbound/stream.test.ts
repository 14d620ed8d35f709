import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import { describe, expect, onTestFinished, test } from "vitest";
import { createConnector } from "../../../services/worker/outbound/connect.ts";
import { KeptConnections } from "../../../services/worker/outbound/kept-connections.ts";
import { Exchanged, type StreamedRequest } from "../../../services/worker/outbound/stream.ts";
import {
  BROKEN_ANSWERS,
  certificateOf,
  ok,
  type RawDestination,
  startRawDestination,
} from "../../harness/raw-destination.ts";

const certificate = certificateOf("provider.example");
const patience = { head: 300, idle: 300 };
const never = new AbortController().signal;

async function start(react: (socket: TLSSocket, request: string) => void): Promise<RawDestination> {
  const server = await startRawDestination(certificate, react);
  onTestFinished(server.close);
  return server;
}

async function exchange(
  { origin, exception }: RawDestination,
  changes: Partial<StreamedRequest> = {},
): Promise<Exchanged> {
  const connections = new KeptConnections(
    createConnector({ privateDestinations: new Map([[origin, exception]]) }),
  );
  const connection = await connections.open(origin, never);
  onTestFinished(() => connection.destroy());
  const request = { origin, method: "GET", path: "/a", headers: [], length: undefined, ...changes };
  return new Exchanged(connection, request as StreamedRequest, patience);
}

async function textOf(exchanged: Exchanged): Promise<{ response: IncomingMessage; text: string }> {
  const response = await exchanged.answer();
  let text = "";
  for await (const chunk of exchanged.body()) text += chunk.toString("latin1");
  return { response, text };
}

describe("a request", () => {
  test("is written when it is let go, with Host and framing of its own", async () => {
    const server = await start((socket) => socket.write(ok()));
    const exchanged = await exchange(server, { path: "/a?b=c", headers: [["X-A", "1"]] });
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(server.seen).toEqual([]);
    exchanged.end();
    expect(await textOf(exchanged)).toMatchObject({ text: "ok", response: { statusCode: 200 } });
    expect(server.seen).toEqual([
      `GET /a?b=c HTTP/1.1\r\nHost: ${new URL(server.origin).host}\r\nX-A: 1\r\nConnection: keep-alive\r\n\r\n`,
    ]);
    expect(await exchanged.released()).toBe(true);
  });

  test("takes no header or path with a line break, whatever checked it before", async () => {
    const server = await start((socket) => socket.write(ok()));
    const injected = ["/a HTTP/1.1\r\nX: y", "/a\nb", "/a b"];
    for (const path of injected) await expect(exchange(server, { path })).rejects.toThrow();
    for (const headers of [[["X-A", "1\r\nX-B: 2"]], [["X-A\r\nX-B", "2"]], [["X-A", "1\n2"]]]) {
      await expect(exchange(server, { headers: headers as [string, string][] })).rejects.toThrow();
    }
    expect(server.seen).toEqual([]);
  });

  test("is answered after informational answers", async () => {
    const early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    const server = await start((socket) => socket.write(early + ok("final")));
    const exchanged = await exchange(server);
    exchanged.end();
    expect(await textOf(exchanged)).toMatchObject({ text: "final", response: { statusCode: 200 } });
  });
});

describe("an answer", () => {
  test.each(BROKEN_ANSWERS)("with %s fails by its class", async (_, bytes, failure) => {
    const server = await start((socket) => void socket.end(bytes));
    const exchanged = await exchange(server);
    exchanged.end();
    await expect(textOf(exchanged)).rejects.toMatchObject({ failure });
    expect(await exchanged.released()).toBe(false);
    await expect.poll(() => [...server.sockets].every(({ destroyed }) => destroyed)).toBe(true);
  });

  test("that trickles passes, and one that stands still ends in time", async () => {
    const drip = (begin: string, text: string) => (socket: TLSSocket) => {
      socket.write(begin);
      let left = 10;
      const timer = setInterval(() => {
        if (left-- > 0) socket.write(text);
        else clearInterval(timer);
      }, 50);
      socket.on("close", () => clearInterval(timer));
    };
    const whole = await start(drip("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "x"));
    const passing = await exchange(whole);
    passing.end();
    expect((await textOf(passing)).text).toBe("x".repeat(10));

    const silent = () => {};
    const cases = [silent, drip("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", "x"), drip("", "HTTP")];
    for (const react of cases) {
      const server = await start(react);
      const exchanged = await exchange(server);
      exchanged.end();
      await expect(textOf(exchanged)).rejects.toMatchObject({
        failure: expect.stringMatching(/^(timeout|answer_unusable)$/),
      });
      await expect.poll(() => [...server.sockets].every(({ destroyed }) => destroyed)).toBe(true);
    }
  });

  test("drops trailers, and what comes after its end", async () => {
    const trailing =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Token: t\r\n\r\n";
    const server = await start((socket) => socket.write(trailing));
    const exchanged = await exchange(server);
    exchanged.end();
    const { text, response } = await textOf(exchanged);
    expect(text).toBe("ok");
    expect(response.rawHeaders.join()).not.toContain("X-Token");

    const double = await start((socket) => socket.write(ok("first") + ok("second")));
    const one = await exchange(double);
    one.end();
    const outcome = await textOf(one).catch((error) => error);
    // Whether it is passed on or not, the second answer is nobody's.
    expect(JSON.stringify(outcome.text ?? "")).not.toContain("second");
    await expect.poll(() => one.released()).toBe(false);
  });
});

describe("a body", () => {
  const BIG = 8 * 1024 * 1024;

  test("waits for a destination that reads slowly, and gives up one that does not read", async () => {
    const server = await start((socket) => void socket.pause());
    const exchanged = await exchange(server, { method: "POST", length: BIG });
    const write = async () => {
      for (let sent = 0; sent < BIG; sent += 65_536) await exchanged.write(Buffer.alloc(65_536));
    };
    await expect(write()).rejects.toMatchObject({ failure: "timeout" });
    expect(exchanged.sentBytes).toBeLessThan(BIG);
    await expect(exchanged.answer()).rejects.toMatchObject({ failure: "timeout" });
  });

  test("ends with an early answer", async () => {
    const server = await start((socket) => {
      socket.pause();
      socket.write("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
    });
    const exchanged = await exchange(server, { method: "POST", length: BIG });
    const writing = (async () => {
      for (let sent = 0; sent < BIG; sent += 65_536) await exchanged.write(Buffer.alloc(65_536));
    })().catch((error) => error);
    expect(await textOf(exchanged)).toMatchObject({ text: "big", response: { statusCode: 413 } });
    expect(await exchanged.released()).toBe(false);
    exchanged.abort(new Error("over"));
    expect(await writing).toBeInstanceOf(Error);
  });
});
