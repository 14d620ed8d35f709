import { jsonFrame } from "../../../../services/shared/broker/frames.ts";
import type { Served } from "../../../intake/broker/frame-server.ts";

/** What hostile code in the broker's place answers, by frames or by bytes. */
export interface Lie {
  way: string;
  tell(served: Served): unknown;
  /** What the caller gets: a problem with this status, an answer that is cut, or a whole one of the destination's. */
  expected: number | "cut" | "whole";
}

const END = { sentBytes: 0, receivedBytes: 2, scrubbed: 0 };
const head = (status: unknown = 200, headers: unknown = []) => jsonFrame("head", { status, headers });
const end = (changes: object = {}) => jsonFrame("end", { ...END, ...changes });
const data = (text = "ok") => raw(4, text.length, Buffer.from(text));
const failed = (changes: object = {}) =>
  jsonFrame("failed", { failure: "internal", detail: "It failed.", isSent: true, ...changes });

function raw(type: number, length: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const frame = Buffer.alloc(5);
  frame.writeUInt8(type, 0);
  frame.writeUInt32BE(length, 1);
  return Buffer.concat([frame, payload]);
}

/** Lets itself be let go, then writes all at once, and ends. */
const says = (way: string, expected: Lie["expected"], ...parts: Uint8Array[]): Lie => ({
  ...{ way, expected },
  async tell({ go, response }) {
    await go();
    response.end(Buffer.concat(parts));
  },
});
/** The same, but its connection breaks. */
const breaks = (way: string, expected: Lie["expected"], ...parts: Uint8Array[]): Lie => ({
  ...{ way, expected },
  async tell({ go, response }) {
    await go();
    response.write(Buffer.concat(parts), () => setTimeout(() => response.destroy(), 20));
  },
});
const header = (name: string, value: string): Lie =>
  says(
    `header ${JSON.stringify(name)}: ${JSON.stringify(value.slice(0, 40))}`,
    "whole",
    head(200, [[name, value]]),
    data(),
    end(),
  );
const headOf = (way: string, status: unknown, headers: unknown = []): Lie =>
  says(`head: ${way}`, 503, head(status, headers), data(), end());
const endOf = (way: string, changes: object): Lie => says(`end: ${way}`, 503, head(), data(), end(changes));

export const lies: Lie[] = [
  says("frames: none", 503),
  says("frames: data before the head", 503, data("x-evil"), head(), end()),
  says("frames: data alone", 503, data("x-evil"), end()),
  says("frames: the end alone", 503, end()),
  says("frames: a head alone", 503, head()),
  says("frames: a head and data, without an end", 503, head(), data()),
  says("frames: two heads", 503, head(), head(404), data(), end()),
  says("frames: a head behind data", 503, head(), data(), head(404), end()),
  says("frames: a failure behind a head", 500, head(), failed({ failure: "malformed" })),
  says("frames: a failure behind data", 503, head(), data(), failed()),
  says("frames: an end, and more", "whole", head(), data(), end(), data("x-evil"), end()),
  says("frames: an end, and a failure", "whole", head(), data(), end(), failed()),
  says(
    "frames: an end, and another answer",
    "whole",
    head(),
    data(),
    end(),
    head(404),
    data("x-evil"),
    end(),
  ),
  says("frames: a failure, and an answer", 503, failed(), head(), data("x-evil"), end()),
  says("frames: a call", 503, jsonFrame("call", {}), head(), data(), end()),
  says("frames: a go", 503, jsonFrame("go", {}), head(), data(), end()),
  says("frames: of no type", 503, raw(0, 2, Buffer.from("{}"))),
  says("frames: of an unknown type", 503, head(), raw(9, 2, Buffer.from("{}"))),
  says("frames: of 4 GiB", 503, head(), raw(4, 0xffffffff)),
  says("frames: a head of 4 GiB", 503, raw(3, 0xffffffff)),
  says("frames: cut in its head", 503, Buffer.from([3, 0])),
  says("frames: cut in its payload", 503, raw(3, 100, Buffer.from("{"))),
  says("frames: no JSON", 503, raw(3, 1, Buffer.from("{"))),
  says("frames: null", 503, raw(3, 4, Buffer.from("null"))),
  says("frames: nested very deep", 503, raw(3, 400_000, Buffer.from("[".repeat(400_000)))),
  says(
    "frames: data of no length, 100,000 times",
    "whole",
    head(),
    Buffer.alloc(500_000, raw(4, 0)),
    data(),
    end(),
  ),
  says("frames: no frames but a page", 503, Buffer.from("<html>x-evil</html>")),
  breaks("connection: broken at once", 503),
  breaks("connection: broken behind a head", 503, head()),
  breaks("connection: broken within a frame", "cut", head(), raw(4, 100, Buffer.from("half"))),
  {
    ...{ way: "connection: broken behind what was passed on", expected: "cut" },
    async tell({ go, response }) {
      await go();
      response.write(Buffer.concat([head(), data("begun")]), () => setTimeout(() => response.destroy(), 300));
    },
  },
  {
    ...{ way: "frames: a failure behind what was passed on", expected: "cut" },
    async tell({ go, response }) {
      await go();
      response.write(Buffer.concat([head(), data("begun")]), () =>
        setTimeout(() => response.end(failed()), 300),
      );
    },
  },
  {
    ...{ way: "frames: no end behind what was passed on", expected: "cut" },
    async tell({ go, response }) {
      await go();
      response.write(Buffer.concat([head(), data("begun")]), () => setTimeout(() => response.end(), 300));
    },
  },
  {
    ...{ way: "frames: another head behind what was passed on", expected: "cut" },
    async tell({ go, response }) {
      await go();
      response.write(Buffer.concat([head(), data("begun")]), () =>
        setTimeout(() => response.end(Buffer.concat([head(500), end()])), 300),
      );
    },
  },
  { way: "before go: a failure", expected: 503, tell: ({ response }) => response.end(failed()) },
  {
    ...{ way: "before go: an answer", expected: "whole" },
    tell: ({ response }) => response.end(Buffer.concat([head(), data(), end()])),
  },
  { way: "before go: the connection broken", expected: 503, tell: ({ response }) => response.destroy() },
  headOf("a status of 99", 99),
  headOf("a status of 100", 100),
  headOf("a status of 101", 101),
  headOf("a status of 600", 600),
  headOf("a status below zero", -200),
  headOf("a status that is text", "200 OK\r\nX-Evil: evil"),
  headOf("a status that is no integer", 200.5),
  headOf("no status", null),
  headOf("no headers", 200, null),
  headOf("headers that are an object", 200, { "x-evil": "evil" }),
  headOf("a header without a value", 200, [["x-evil"]]),
  headOf("a header with two values", 200, [["x-evil", "a", "b"]]),
  headOf("a header that is a number", 200, [["x-evil", 1]]),
  headOf(
    "101 headers",
    200,
    Array.from({ length: 101 }, () => ["x-evil", "evil"]),
  ),
  says(
    "head: a member more",
    503,
    jsonFrame("head", { status: 200, headers: [], evil: true }),
    data(),
    end(),
  ),
  header("X-A", "a\r\nX-Evil: evil"),
  header("X-A", "a\nX-Evil: evil"),
  header("X-A", "a\rX-Evil: evil"),
  header("X-A", "a\0b"),
  header("X-A", "\u560d\u560aX-Evil: evil"),
  headOf("a header of 16 KiB and one", 200, [["X-A", "a".repeat(16_385)]]),
  headOf("a name of 257 characters", 200, [["a".repeat(257), "evil"]]),
  headOf(
    "96 KiB of headers",
    200,
    Array.from({ length: 6 }, (_, at) => [`X-A${at}`, "a".repeat(16_384)]),
  ),
  header("X-A\r\nX-Evil", "evil"),
  header("X-Evil: a\r\nX-B", "evil"),
  header("X Evil", "evil"),
  header("X-Evil:", "evil"),
  header("", "evil"),
  header("x-évil", "evil"),
  ...["Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Trailer", "Upgrade", "TE"].map(
    (name) => header(name, "1"),
  ),
  ...["Set-Cookie", "Strongroom-Answer", "Strongroom-Receipt", "X-Request-Id", "Cache-Control", "Date"].map(
    (name) => header(name, "evil"),
  ),
  ...["Strict-Transport-Security", "X-Content-Type-Options", "Proxy-Authenticate", "strongroom-x"].map(
    (name) => header(name, "evil"),
  ),
  ...["Access-Control-Allow-Origin", "Clear-Site-Data", "Refresh", "Alt-Svc", "Service-Worker-Allowed"].map(
    (name) => header(name, "evil"),
  ),
  says("a body with 204", "whole", head(204), data("x-evil".repeat(10)), end()),
  says("a body with 304", "whole", head(304), data(`HTTP/1.1 200 OK\r\nX-Evil: evil\r\n\r\n`), end()),
  endOf("bytes below zero", { sentBytes: -1 }),
  endOf("bytes as text", { receivedBytes: "2" }),
  endOf("bytes beyond all", { sentBytes: 1e300 }),
  endOf("bytes beyond what a receipt can say", { receivedBytes: 2 ** 60 }),
  endOf("no bytes", { sentBytes: undefined }),
  endOf("a digest that is none", { bodyDigest: "x-evil" }),
  endOf("a digest of 100 KB", { bodyDigest: "a".repeat(100_000) }),
  endOf("an outcome of its own", { outcome: "answered" }),
  endOf("hits below zero", { scrubbed: -1 }),
  says("failed: a reason that is none", 503, failed({ failure: "revealed" })),
  says("failed: with a member more", 503, failed({ evil: true })),
  says("failed: a detail of 2,000 characters", 503, failed({ detail: "x".repeat(2_000) })),
  says("failed: a detail with a line break", 503, failed({ detail: "a\r\nX-Evil: evil" })),
  says(
    "failed: a part with a line break",
    403,
    failed({ failure: "not_allowed", part: "a\r\nX-Evil: evil" }),
  ),
  says("failed: to try again after 1e300 seconds", 503, failed({ retryAfterSeconds: 1e300 })),
  says("failed: to try again before now", 503, failed({ retryAfterSeconds: -5 })),
  says("failed: that it was not sent, though it was", 503, failed({ isSent: false })),
  {
    ...{ way: "HTTP: status 500", expected: 503 },
    tell: ({ response }) => {
      response.socket?.end("HTTP/1.1 500 X\r\nX-Evil: evil\r\nContent-Length: 0\r\n\r\n");
    },
  },
];
