import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { connectionErrors } from "../../../services/gateway/http/connection-errors.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A handler whose addresses have a budget, and what came of it. */
function handlerWith(budget: number) {
  const lines: Record<string, unknown>[] = [];
  const counted: (string | undefined)[] = [];
  const logger = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const serve = () => expect.unreachable();
  const handler = connectionErrors(serve, logger, (address) => counted.push(address) <= budget);
  /** The answer, and whether the connection was cut. */
  const fail = (code: string | undefined, writable = true) => {
    let answer = "";
    let destroyed = false;
    const socket = Object.assign(new EventEmitter(), {
      writable,
      remoteAddress: "10.0.0.1",
      end: (text: string) => {
        answer = text;
      },
      destroy: () => {
        destroyed = true;
      },
    }) as unknown as Socket;
    const error = Object.assign(new Error("parse"), code !== undefined && { code });
    handler(error, socket);
    return { answer, destroyed, again: () => handler(error, socket) };
  };
  return { fail, lines, counted };
}

test("malformed HTTP is charged to its address, which gets no answer once it is over its limit", () => {
  const { fail, counted } = handlerWith(2);
  for (let i = 0; i < 2; i++) expect(fail("HPE_INVALID_METHOD").answer).toMatch(/^HTTP\/1\.1 400 /);
  expect(fail("HPE_INVALID_METHOD")).toMatchObject({ answer: "", destroyed: true });
  expect(counted).toEqual(["10.0.0.1", "10.0.0.1", "10.0.0.1"]);
});

test("a connection is charged once; one that only ends or times out is not", () => {
  const { fail, counted, lines } = handlerWith(10);
  fail("HPE_INVALID_CONSTANT").again();
  expect(counted).toHaveLength(1);
  expect(fail("ERR_HTTP_REQUEST_TIMEOUT").answer).toMatch(/^HTTP\/1\.1 408 /);
  expect(fail("ECONNRESET")).toMatchObject({ answer: "", destroyed: true });
  expect(fail("HPE_INVALID_CONSTANT", false)).toMatchObject({ answer: "", destroyed: true });
  expect(fail(undefined).answer).toMatch(/^HTTP\/1\.1 400 /);
  expect(counted).toHaveLength(1);
  expect(lines).toHaveLength(1);
});

test("at most one log line a second, with the number of unlogged errors, and without bytes or addresses", () => {
  const { fail, lines } = handlerWith(10_000);
  for (let i = 0; i < 1_000; i++) fail("HPE_INVALID_METHOD");
  vi.advanceTimersByTime(999);
  fail("HPE_INVALID_METHOD");
  expect(lines).toHaveLength(1);
  vi.advanceTimersByTime(1);
  fail("HPE_INVALID_VERSION");
  fail("HPE_INVALID_VERSION");
  expect(lines).toMatchObject([
    { code: "HPE_INVALID_METHOD", unlogged: 0 },
    { code: "HPE_INVALID_VERSION", unlogged: 1_000 },
  ]);
  expect(JSON.stringify(lines)).not.toContain("10.0.0.1");
});

test.each([
  ["HPE_HEADER_OVERFLOW", 431],
  ["HPE_CHUNK_EXTENSIONS_OVERFLOW", 413],
  ["HPE_INVALID_TRANSFER_ENCODING", 400],
])("%s is answered %i in Vault's form, and the connection ends", (code, status) => {
  const { answer } = handlerWith(1).fail(code);
  const [head = "", body = ""] = answer.split("\r\n\r\n");
  expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  expect(head).toMatch(/^connection: close$/m);
  expect(head).toContain(`content-length: ${body.length}`);
  expect(JSON.parse(body)).toEqual({ errors: [expect.stringContaining("cannot process the request")] });
});
