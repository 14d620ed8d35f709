import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect, Socket } from "node:net";
import fc from "fast-check";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { connectionErrors } from "../../services/gateway/connection-errors.ts";
import { isList, ListHeads, parseList } from "../../services/gateway/list-verb.ts";

const text = (target: string, ...headers: string[]) =>
  [`LIST ${target} HTTP/1.1`, "Host: x", ...headers, "", ""].join("\r\n");
const parse = (head: string) => parseList(Buffer.from(head, "latin1"));
const urlOf = (target: string) => parse(text(target))?.url;

describe("a head", () => {
  test("becomes the GET that means the same", () => {
    const head = text(
      "/v1/secret/metadata/app",
      "X-Vault-Token: a.b.c",
      "Accept:*/*",
      "X-Empty:",
      "X:\t a b \t",
    );
    expect(parse(head)).toEqual({
      url: "/v1/secret/metadata/app?list=true",
      rawHeaders: ["Host", "x", "X-Vault-Token", "a.b.c", "Accept", "*/*", "X-Empty", "", "X", "a b"],
    });
    for (const name of ["a", "0", "Z9", "!#$%&'*+.^_`|~-"]) {
      expect(parse(text("/v1", `${name}: 1`))?.rawHeaders).toEqual(["Host", "x", name, "1"]);
    }
  });

  test("has its target with list=true, and is otherwise left to who reads that of a GET", () => {
    expect(urlOf("/v1/a%20b/?list=true")).toBe("/v1/a%20b/?list=true");
    expect(urlOf("/v1/a?list=true&x=1")).toBe("/v1/a?list=true&x=1&list=true");
    expect(urlOf("/v1/a?xlist=true")).toBe("/v1/a?xlist=true&list=true");
    expect(urlOf("/v1/a?")).toBe("/v1/a?&list=true");
    expect(urlOf("/v1/../%2e#\\\u00fc")).toBe("/v1/../%2e#\\\u00fc?list=true");
  });

  test("may say that it has no body, once", () => {
    expect(parse(text("/v1", "Content-Length: 0"))).toBeDefined();
    for (const value of ["1", "00", "-0", "", "0, 0", "0x0"]) {
      expect(parse(text("/v1", `Content-Length: ${value}`))).toBeUndefined();
    }
    expect(parse(text("/v1", "Content-Length: 0", "content-length: 0"))).toBeUndefined();
    expect(parse(text("/v1", "transfer-Encoding:"))).toBeUndefined();
  });

  test.each([
    ["", "LIST /v1 HTTP/1.1\r\n\r\n"],
    ["", "LIST /v1 HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n"],
    ["another verb before it", `FOO ${text("/v1")}`],
    ["a line before it", `\r\n${text("/v1")}`],
    ["a space before it", ` ${text("/v1")}`],
    ["small letters", text("/v1").replace("LIST", "list")],
    ["a tab", text("/v1").replace("LIST ", "LIST\t")],
    ["two spaces", text("/v1").replace("LIST ", "LIST  ")],
    ["an address", text("http://x/v1")],
    ["no target", text("")],
    ["a space in the target", text("/v1/a b")],
    ["a control character in the target", text("/v1/\u007f")],
    ["a NUL in the target", text("/v1/\0")],
    ["HTTP/1.0", text("/v1").replace("1.1", "1.0")],
    ["HTTP/1.12", text("/v1").replace("1.1", "1.12")],
    ["HTTP/1x1", text("/v1").replace("1.1", "1x1")],
    ["a word behind the version", text("/v1").replace("1.1", "1.1 x")],
    ["a folded header", text("/v1", "A: b", " c: d")],
    ["a folded header by a tab", text("/v1", "A: b", "\tc: d")],
    ["a space before a colon", text("/v1", "A : b")],
    ["a header without a name", text("/v1", ": b")],
    ["a header without a colon", text("/v1", "A")],
    ["a header with a space in its name", text("/v1", "A B: c")],
    ["a name behind something else", text("/v1", "\u00fcA: b")],
    ["a control character in a value", text("/v1", "A: b\u0001c")],
    ["one at its end", text("/v1", "A: b\u0001")],
    ["a byte beyond ASCII in a value", text("/v1", "A: \u00e9")],
    ["a bare line feed in a value", text("/v1", "A: b\nC: d")],
    ["a bare carriage return in a value", text("/v1", "A: b\rC: d")],
    ["a body", `${text("/v1")}x`],
    ["another head behind it", text("/v1") + text("/v1")],
    ["an end too few", text("/v1").slice(0, -2)],
  ])("is none with %s: %j", (_name, head) => {
    expect(parse(head)).toBeUndefined();
  });

  test("has at most 64 headers and 16 KiB", () => {
    const headers = (count: number) => Array.from({ length: count }, (_, i) => `a${i}: b`);
    expect(parse(text("/v1", ...headers(63)))?.rawHeaders).toHaveLength(128);
    expect(parse(text("/v1", ...headers(64)))).toBeUndefined();
    const long = (length: number) => text("/v1", `A: ${"b".repeat(length - text("/v1", "A: ").length)}`);
    expect(parse(long(16 * 1024))).toBeDefined();
    expect(parse(long(16 * 1024 + 1))).toBeUndefined();
  });

  test("whatever the bytes, what is taken has a plain target and plain headers", () => {
    const piece = fc.constantFrom(
      ...["\r\n", "\n", "\r", " ", "\t", ":", "a", "Host: x", "LIST ", "/v1/a", "/../", "?list=true"],
      ...[
        " HTTP/1.1",
        "Content-Length: 0",
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "\0",
        "\u00ff",
      ],
    );
    const bytes = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(""));
    fc.assert(
      fc.property(fc.constantFrom("", "LIST /v1/a HTTP/1.1\r\nHost: x\r\n"), bytes, (start, more) => {
        const taken = parse(`${start}${more}\r\n\r\n`);
        if (!taken) return;
        expect(taken.url).toMatch(/^\/[\x21-\x7e\x80-\xff]*[?&]list=true$/);
        for (const each of taken.rawHeaders) expect(each).toMatch(/^[\x20-\x7e]*$/);
        const names = taken.rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
        expect(names.filter((name) => name === "host")).toHaveLength(1);
        expect(names).not.toContain("transfer-encoding");
      }),
      { numRuns: 3_000 },
    );
  });
});

describe("bytes that the parser refuses", () => {
  const take = (packets: [bytes: string, parsed: number][], code = "HPE_INVALID_METHOD") => {
    const [heads, socket] = [new ListHeads(), new Socket()];
    const taken = packets.map(([bytes, bytesParsed]) =>
      heads.take(socket, { code, rawPacket: Buffer.from(bytes, "latin1"), bytesParsed }),
    );
    return taken.at(-1);
  };
  const whole = text("/v1/a");
  const url = { url: "/v1/a?list=true" };

  test("are a LIST where the parser stopped at its third letter", () => {
    expect(take([[whole, 2]])).toMatchObject(url);
    expect(take([[`GET / HTTP/1.1\r\n\r\n${whole}`, 20]])).toMatchObject(url);
    expect(take([[whole.slice(1), 1]])).toMatchObject(url);
    expect(take([[whole.slice(2), 0]])).toMatchObject(url);
    for (const stopped of [0, 1, 3, 4, 100]) expect(take([[whole, stopped]])).toBeUndefined();
    expect(take([["FOO LIST /v1 HTTP/1.1\r\nHost: x\r\n\r\n", 1]])).toBeUndefined();
    expect(take([[whole, 2]], "HPE_INVALID_URL")).toBeUndefined();
    expect(take([["LI", 2]])).toBeUndefined();
    const code = "HPE_INVALID_METHOD";
    expect(new ListHeads().take(new Socket(), { code })).toBeUndefined();
    const rawPacket = Buffer.from(whole.slice(2));
    expect(new ListHeads().take(new Socket(), { code, rawPacket })).toMatchObject(url);
    expect(new ListHeads().take(new Socket(), { code, rawPacket: whole })).toBeUndefined();
  });

  test("however they are cut", () => {
    for (let cut = 3; cut < whole.length; cut++) {
      expect(take([[whole.slice(0, cut), 2]])).toBe("unfinished");
      expect(
        take([
          [whole.slice(0, cut), 2],
          [whole.slice(cut), 0],
        ]),
      ).toMatchObject(url);
    }
    const each = [...whole.slice(2)].map((letter): [string, number] => [letter, 0]);
    expect(take(each)).toMatchObject(url);
  });

  test("are waited for no longer than they may become one, and no more than 16 KiB of them", () => {
    for (const bytes of [
      "LIST x",
      "LIST\r",
      "LISTE",
      "LIST /v1\n",
      "LIST /\0",
      "LIST /v1 HTTP/1.1\r\nA: b\nC: d",
    ]) {
      expect(take([[bytes, 2]]), bytes).toBeUndefined();
    }
    expect(take([["LIST /v1\r", 2]])).toBe("unfinished");
    expect(take([["LIST /v1\rx", 2]])).toBeUndefined();
    expect(
      take([
        ["LIST /v1\r", 2],
        ["x", 0],
      ]),
    ).toBeUndefined();
    const filled = (length: number) => "LIST /".padEnd(length, "a");
    expect(take([[filled(16 * 1024), 2]])).toBe("unfinished");
    expect(take([[filled(16 * 1024 + 1), 2]])).toBeUndefined();
    expect(
      take([
        [filled(16 * 1024), 2],
        ["a", 0],
      ]),
    ).toBeUndefined();
  });
});

describe("on a connection", () => {
  let server: Server;
  let seen: { method: string | undefined; url: string | undefined; headers: object; list: boolean }[] = [];
  let ended: { status: number; whole: boolean }[] = [];
  /** How a request is answered; by its path unless set. */
  let answer: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  beforeAll(async () => {
    const serve = (request: IncomingMessage, response: ServerResponse) => {
      const { method, url, headers } = request;
      seen.push({ method, url, headers, list: isList(request) });
      response.on("close", () =>
        ended.push({ status: response.statusCode, whole: response.writableFinished }),
      );
      if (answer) answer(request, response);
      else response.end(`(${url})`);
    };
    server = createServer(serve);
    server.on(
      "clientError",
      connectionErrors(serve, pino({ level: "silent" }), () => true),
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  afterEach(() => {
    [seen, ended, answer] = [[], [], undefined];
  });
  afterAll(() => {
    server.close();
    server.closeAllConnections();
  });

  const open = () => {
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1").setNoDelay();
    let got = "";
    socket.on("data", (chunk) => {
      got += chunk.toString("latin1");
    });
    const closed = new Promise<string>((resolve) => {
      socket.on("error", () => undefined);
      socket.on("close", () => resolve(got));
    });
    return { socket, closed, got: () => got };
  };
  const written = (bytes: Buffer | string, socket: Socket) =>
    new Promise<void>((resolve) => socket.write(bytes, () => setImmediate(resolve)));
  const GET = "GET /first HTTP/1.1\r\nHost: x\r\n\r\n";

  test("it is served with its headers, and the connection ends", async () => {
    const { socket, closed } = open();
    socket.write(text("/v1/a", "X-A: 1", "x-a: 2", "__proto__: y"));
    expect(await closed).toMatch(
      /^HTTP\/1\.1 200 OK\r\n[\s\S]*connection: close\r\n[\s\S]*\(\/v1\/a\?list=true\)/i,
    );
    expect(seen).toEqual([
      { method: "GET", url: "/v1/a?list=true", headers: { host: "x", "x-a": "1, 2" }, list: true },
    ]);
    await expect.poll(() => ended).toEqual([{ status: 200, whole: true }]);
  });

  test("it is whole, of HTTP/1.1, and has a body that ends", async () => {
    const whole: unknown[] = [];
    answer = (request, response) => {
      const { complete, httpVersion, httpVersionMajor, httpVersionMinor } = request;
      whole.push({ complete, httpVersion, httpVersionMajor, httpVersionMinor });
      request.resume().on("end", () => response.end("(end)"));
    };
    const { socket, closed } = open();
    socket.write(text("/v1/a"));
    expect(await closed).toMatch(/\(end\)/);
    expect(whole).toEqual([{ complete: true, httpVersion: "1.1", httpVersionMajor: 1, httpVersionMinor: 1 }]);
  });

  test("in as many segments as it likes", async () => {
    const whole = text("/v1/a");
    for (const size of [1, 2, 3, 7]) {
      const { socket, closed } = open();
      for (let at = 0; at < whole.length; at += size) await written(whole.slice(at, at + size), socket);
      expect(await closed).toMatch(/^HTTP\/1\.1 200 /);
    }
  });

  test("behind a request that has no answer yet, it waits for that", async () => {
    const first = Promise.withResolvers<ServerResponse>();
    answer = ({ url }, response) => {
      if (url === "/first") first.resolve(response);
      else response.end(`(${url})`);
    };
    for (const packets of [
      [GET + text("/v1/a")],
      [GET, text("/v1/a")],
      [`${GET}LI`, text("/v1/a").slice(2)],
    ]) {
      seen = [];
      const { socket, closed, got } = open();
      for (const packet of packets) await written(packet, socket);
      const response = await first.promise;
      await written("", socket);
      expect(got()).toBe("");
      response.end("(first)");
      expect(await closed).toMatch(
        /^HTTP\/1\.1 200 [\s\S]*\(first\)HTTP\/1\.1 200 [\s\S]*\(\/v1\/a\?list=true\)$/,
      );
      expect(seen.map(({ list }) => list)).toEqual([false, true]);
      Object.assign(first, Promise.withResolvers<ServerResponse>());
    }
  });

  test("also behind several, and where what follows them is refused", async () => {
    const waiting: ServerResponse[] = [];
    answer = ({ url }, response) => {
      if (url === "/first") waiting.push(response);
      else response.end("(list)");
    };
    for (const [last, end] of [
      [text("/v1/a"), "(list)"],
      ["FOO / HTTP/1.1\r\n\r\n", '{"errors":["The request is refused: Bad Request."]}'],
    ] as const) {
      const { socket, closed } = open();
      socket.write(GET + GET + last);
      await expect.poll(() => waiting.length).toBe(2);
      for (const [i, response] of waiting.splice(0).entries()) response.end(`(${i})`);
      const answers = (await closed).split(/(?=HTTP\/1\.1)/).map((each) => each.split("\r\n\r\n")[1]);
      expect(answers).toEqual(["(0)", "(1)", end]);
    }
  });

  test("but not for one whose own body is what cannot be read", async () => {
    answer = () => undefined;
    const { socket, closed } = open();
    socket.write("POST /first HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    expect(await closed).toMatch(/^HTTP\/1\.1 400 /);
  });

  test("one that asked before to end the connection ends it", async () => {
    const { socket, closed } = open();
    socket.write(GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n") + text("/v1/a"));
    expect((await closed).match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(seen).toHaveLength(1);
  });

  test("a caller that goes away is seen to, and what is thrown ends it", async () => {
    const gone = open();
    answer = () => gone.socket.destroy();
    gone.socket.write(text("/v1/a"));
    await expect.poll(() => ended).toEqual([{ status: 200, whole: false }]);
    answer = () => {
      throw new Error("no");
    };
    const { socket, closed } = open();
    socket.write(text("/v1/a"));
    expect(await closed).toBe("");
  });
});
