import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, vi } from "vitest";
import { PolledDocument } from "../../../../services/shared/front/published/polled-document.ts";
import { test } from "../../../harness/folder.ts";

let dir: string;
let copy: string;
let server: Server;
let url: string;
/** How the publisher answers; undefined while it hangs up. */
let answer: { status: number; body?: string; headers?: Record<string, string> } | undefined;
let asked: IncomingHttpHeaders[];
let log: { level: number; msg: string; reason?: string; url?: string; copy?: string }[];
/** What came to be verified, with its origin, and what was put to use. */
let verified: [string, string][];
let used: string[];
let accepts: boolean;
let document: PolledDocument;

test.beforeEach(async ({ folder }) => {
  dir = folder;
  copy = join(dir, "copy");
  [asked, log, verified, used, accepts] = [[], [], [], [], true];
  answer = { status: 200, body: "text", headers: { ETag: '"1"' } };
  server = createServer((request, response) => {
    asked.push(request.headers);
    if (answer) {
      response.writeHead(answer.status, { Connection: "close", ...answer.headers }).end(answer.body);
    } else request.socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  document = new PolledDocument({
    ...{ what: "list", url, copy },
    logger: pino({}, { write: (line: string) => void log.push(JSON.parse(line)) }),
    async verify(text, which) {
      verified.push([text, which]);
      return accepts ? () => void used.push(text) : undefined;
    },
  });
});
afterEach(async () => {
  document.close();
  vi.useRealTimers();
  vi.restoreAllMocks();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

test("a published document is verified, stored on disk, and used", async () => {
  await document.refresh();
  expect(verified).toEqual([["text", "the one published"]]);
  expect(used).toEqual(["text"]);
  expect(await readFile(copy, "utf8")).toBe("text");
  expect(log).toEqual([]);
});

test("a refused document is neither stored nor used", async () => {
  accepts = false;
  await document.refresh();
  expect(used).toEqual([]);
  await expect(readFile(copy)).rejects.toThrow("ENOENT");
});

test("the copy on disk is verified as such; without one there is nothing to do", async () => {
  await document.loadCopy();
  expect(verified).toEqual([]);
  await writeFile(copy, "kept");
  await document.loadCopy();
  expect(verified).toEqual([["kept", "the copy on disk"]]);
  expect(used).toEqual(["kept"]);
  accepts = false;
  await document.loadCopy();
  expect(used).toEqual(["kept"]);
});

test("a fetch sends the last ETag, or none if there was none", async () => {
  await document.refresh();
  answer = { status: 304 };
  await document.refresh();
  answer = { status: 200, body: "untagged" };
  await document.refresh();
  await document.refresh();
  expect(asked.map((headers) => headers["if-none-match"])).toEqual([undefined, '"1"', '"1"', undefined]);
  expect(used).toEqual(["text", "untagged", "untagged"]);
  expect(log).toEqual([]);
});

test("a failure to write the copy is logged, and the document is used all the same", async () => {
  await mkdir(copy);
  await document.refresh();
  expect(used).toEqual(["text"]);
  expect(log).toMatchObject([
    { level: 50, msg: "cannot write the copy of the list", copy, reason: "EISDIR" },
  ]);
});

describe("a failing fetch is logged once, and again when it recovers", () => {
  test("refused connections", async () => {
    answer = undefined;
    await document.refresh();
    await document.refresh();
    answer = { status: 200, body: "text" };
    await document.refresh();
    await document.refresh();
    expect(log).toMatchObject([
      { level: 40, msg: "cannot fetch the list", url, reason: "UND_ERR_SOCKET" },
      { level: 30, msg: "fetching the list works again", url },
    ]);
    expect(log).toHaveLength(2);
  });

  test.each([201, 404, 500])("status %i", async (status) => {
    answer = { status, body: "text" };
    await document.refresh();
    expect(verified).toEqual([]);
    expect(log).toMatchObject([{ msg: "cannot fetch the list", reason: `status ${status}` }]);
  });

  test("a redirect, which is not followed", async () => {
    answer = { status: 302, headers: { Location: `${url}elsewhere` } };
    await document.refresh();
    expect(asked).toHaveLength(1);
    expect(log).toHaveLength(1);
  });

  test("no answer within five seconds", async () => {
    const timeout = vi.spyOn(AbortSignal, "timeout").mockImplementation(() => {
      const reason = new DOMException("too late", "TimeoutError");
      return AbortSignal.abort(reason);
    });
    await document.refresh();
    expect(timeout.mock.calls).toEqual([[5_000]]);
    expect(log).toMatchObject([{ reason: "TimeoutError" }]);
  });

  test("more than 16 MiB", async () => {
    answer = { status: 200, body: "x".repeat(16_777_216) };
    await document.refresh();
    expect(used).toEqual([answer.body]);
    answer.body += "x";
    await document.refresh();
    expect(used).toHaveLength(1);
    expect(log).toMatchObject([{ reason: "the answer is larger than 16777216 bytes" }]);
  });
});

describe("polling", () => {
  /** Lets what has come in be handled; time stands still. */
  const turnOfTheLoop = () => new Promise((resolve) => setImmediate(resolve));
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));

  test("fetches one second after the previous answer", async () => {
    const begun = vi.spyOn(globalThis, "fetch");
    document.poll();
    for (const turn of [1, 2, 3]) {
      vi.advanceTimersByTime(999);
      expect(begun).toHaveBeenCalledTimes(turn - 1);
      vi.advanceTimersByTime(1);
      await turnOfTheLoop(); // a fetch begins once the one before is over
      expect(begun).toHaveBeenCalledTimes(turn);
      while (vi.getTimerCount() === 0) await turnOfTheLoop();
      expect(asked).toHaveLength(turn);
    }
  });

  test("ends with closing, which silently aborts a fetch in progress", async () => {
    const refreshed = document.refresh();
    document.close();
    await refreshed;
    document.poll();
    expect(vi.getTimerCount()).toBe(1);
    document.close();
    expect(vi.getTimerCount()).toBe(0);
    expect(used).toEqual([]);
    expect(log).toEqual([]);
  });

  test("does not continue after a fetch that was in progress", async () => {
    document.poll();
    vi.advanceTimersByTime(1_000);
    document.close();
    await turnOfTheLoop();
    await document.refresh();
    expect(vi.getTimerCount()).toBe(0);
    expect(log).toEqual([]);
  });
});
