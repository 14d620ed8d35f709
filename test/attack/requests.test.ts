import { randomUUID } from "node:crypto";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect } from "vitest";
import { test } from "../harness/fixtures.ts";
import type { TestGateway } from "../harness/gateway.ts";
import { answerAsVault, type Recorder } from "../harness/recorder.ts";
import type { TestIssuer } from "../harness/tokens.ts";

let issuer: TestIssuer;
let recorder: Recorder;
let gateway: TestGateway;
let token: string;
test.beforeAll(({ recordedGateway }) => {
  ({ issuer, recorder, gateway } = recordedGateway);
});
beforeEach(() => {
  recorder.clear();
  token = issuer.token({ sub: randomUUID(), [issuer.issuer.groupsClaim]: ["admin"] });
});

/** The status of each answer to bytes, and that each is in Vault's form. */
async function statuses(bytes: string | Buffer): Promise<number[]> {
  const answer = await gateway.raw(bytes);
  expect(answer).not.toMatch(/at .*\.ts|node_modules|Error:/);
  const heads = answer.split(/(?=HTTP\/1\.1 \d{3} )/).filter(Boolean);
  for (const head of heads) {
    if (/^HTTP\/1\.1 100 /.test(head)) continue;
    expect(head.toLowerCase()).toContain("content-type: application/json\r\n");
    if (!/^HTTP\/1\.1 2/.test(head)) expect(head).toMatch(/\{"errors":\["[^"]+"\]\}/);
  }
  return heads.map((head) => Number(head.slice(9, 12)));
}

const head = (line: string, ...more: string[]) =>
  [line, "Host: x", "Connection: close", `X-Vault-Token: ${token}`, ...more, "", ""].join("\r\n");

const PATHS: [target: string, status: number][] = [
  ["/v1/secret/data/../metadata/x", 400],
  ["/v1/secret/data/x/..", 400],
  ["/v1/secret/data/./x", 400],
  ["/v1/secret/data//x", 400],
  ["//v1/secret/data/x", 400],
  ["/v1/secret/data/%2e%2e/x", 400],
  ["/v1/secret/data/%2E%2E%2Fsys%2Fmounts", 400],
  ["/v1/secret/data/%252e%252e/x", 400],
  ["/v1/secret/data/a%2f%2fb", 400],
  ["/v1/secret/metadata/%2Fb", 400],
  ["/v1/secret/data/..%5cb", 400],
  ["/v1/secret/data/a%252fb", 400],
  ["/v1/secret/data/a\\b", 400],
  ["/v1/secret/data/a%00b", 400],
  ["/v1/secret/data/a%0d%0aX-Vault-Token:%20root", 400],
  ["/v1/secret/data/a%", 400],
  ["/v1/secret/data/%zz", 400],
  ["/v1/secret/data/a#b", 400],
  ["/v1/secret/data/a%ff", 400],
  ["/v1/secret/data/a?version=1;token=x", 400],
  ["/v1/secret/data/a?help=1", 403],
  [`/v1/secret/data/${"a".repeat(3_000)}`, 400],
  ["http://127.0.0.1:1/v1/secret/data/a", 400],
  ["*", 400],
  ["/v1/sys/policies/acl", 403],
  ["/v1/sys/seal", 403],
  ["/v1/auth/token/create", 403],
  ["/v1/sys%2Fseal", 403],
  ["/v1/cubbyhole/x", 403],
  ["/v1/%73ys/seal", 403],
  ["/V1/secret/data/x", 403],
  ["/", 403],
];

describe("paths, sent as bytes: none reaches a Vault, whatever the verb", () => {
  test.each(PATHS)("%s", async (target, status) => {
    for (const verb of ["GET", "POST", "DELETE"]) {
      expect(await statuses(head(`${verb} ${target} HTTP/1.1`))).toEqual([status]);
    }
    // A LIST goes another way in, and must come to the same.
    const list = await statuses(head(`LIST ${target} HTTP/1.1`));
    expect(list[0]).toBeGreaterThanOrEqual(400);
    expect(list[0]).toBeLessThan(500);
    expect(recorder.connections).toBe(0);
  });

  test("raw bytes that no path may have", async () => {
    for (const byte of [0x00, 0x01, 0x09, 0x0b, 0x7f, 0x80, 0xff]) {
      const [before = "", after = ""] = head("GET /v1/secret/data/a@ HTTP/1.1").split("@");
      const bytes = Buffer.concat([Buffer.from(before), Buffer.from([byte]), Buffer.from(after)]);
      expect(await statuses(bytes)).toEqual([400]);
    }
    expect(recorder.connections).toBe(0);
  });
});

test("a path or a verb that is not listed says nothing to those without a token", async () => {
  for (const target of ["/v1/sys/seal", "/v1/secret/data/x", "/"]) {
    expect((await gateway.call("GET", target)).status).toBe(401);
    expect((await gateway.call("PROPFIND", target)).status).toBe(401);
  }
});

describe("a body that is none, where none is needed", () => {
  test.each<[string, Record<string, string>, string]>([
    ["null", { "content-type": "application/json" }, "null"],
    ["nothing, as JSON", { "content-type": "application/json", "content-length": "0" }, ""],
    ["spaces", {}, " \r\n"],
    ["null, with as many spaces as are taken", {}, "null".padStart(31)],
    ["no chunks", { "transfer-encoding": "chunked" }, ""],
  ])("%s", async (_name, headers, body) => {
    const write = (path: string) => gateway.call("POST", path, { token, headers, body });
    expect((await write("/v1/secret/metadata/app")).status).toBe(200);
    expect((await write("/v1/auth/token/renew-self")).status).toBe(200);
    expect(recorder.requests.at(-1)).toMatchObject({ url: "/v1/secret/metadata/app", body: "" });
    expect((await write("/v1/secret/data/app")).status).toBe(400);
  });

  test("but other JSON is not, and spaces without end are not", async () => {
    for (const body of ["0", "false", '""', "[]", "nul", "nullnull", " ".repeat(32)]) {
      const answer = await gateway.call("POST", "/v1/secret/metadata/app", { token, body });
      expect(answer.status, body).toBe(400);
    }
    expect((await gateway.call("PATCH", "/v1/secret/metadata/app", { token, body: "null" })).status).toBe(
      415,
    );
  });
});

test("verbs that are not listed are 405, with those that are", async () => {
  for (const verb of ["OPTIONS", "HEAD", "PROPFIND", "MKCOL", "LOCK", "PURGE", "TRACE", "SEARCH"]) {
    const answer = await gateway.call(verb, "/v1/secret/data/x", { token });
    expect(answer).toMatchObject({ status: 405, headers: { allow: "GET, POST, PUT, PATCH, DELETE" } });
    expect(answer.headers["content-type"]).toBe("application/json");
  }
  expect(recorder.connections).toBe(0);
});

describe("what is no HTTP", () => {
  test.each<[string, string, number]>([
    ["nonsense", "hello\r\n\r\n", 400],
    ["a verb that nobody knows", "FROB / HTTP/1.1\r\nHost: x\r\n\r\n", 400],
    ["no version", "GET /\r\n\r\n", 400],
    ["a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400],
    ["a header without a name", "GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", 400],
    ["a header name with a space", "GET / HTTP/1.1\r\nHost: x\r\nX Y: z\r\n\r\n", 400],
    ["two lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400],
    [
      "length and chunks",
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      400,
    ],
    ["a bad chunk", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400],
    ["an unknown coding", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: frob\r\n\r\n", 400],
    ["two hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n", 401],
  ])("%s", async (_name, bytes, status) => {
    const [first] = await statuses(bytes);
    expect(first).toBe(status);
    expect(recorder.connections).toBe(0);
  });

  test("headers above 16 KiB are 431", async () => {
    const bytes = `GET / HTTP/1.1\r\nHost: x\r\nX-Big: ${"a".repeat(20_000)}\r\n\r\n`;
    expect(await statuses(bytes)).toEqual([431]);
  });
});

describe("nothing of the caller's headers reaches a Vault", () => {
  test("but the token's own login, the body and its type", async () => {
    const headers = {
      "x-vault-token": token,
      "x-vault-namespace": recorder.org,
      "x-vault-policy-override": "true",
      "x-vault-inline-auth-path": "auth/jwt/login",
      "x-forwarded-for": "10.0.0.1",
      x_vault_token: "root",
      "x-request-id": "chosen-by-caller",
      "user-agent": "evil",
      cookie: "a=b",
      te: "trailers",
      "content-type": "application/json; charset=utf-8",
      "transfer-encoding": "chunked",
    };
    const answer = await gateway.call("POST", "/v1/secret/data/app/db", { headers, body: '{"data":{}}' });
    expect(answer.status).toBe(200);
    const [login, write] = recorder.requests;
    expect(login).toMatchObject({ method: "POST", url: "/v1/auth/jwt/login" });
    expect(JSON.parse(login?.body ?? "")).toEqual({ role: "admin", jwt: token });
    expect(write).toMatchObject({ method: "POST", url: "/v1/secret/data/app/db", body: '{"data":{}}' });
    expect(write?.headers).toEqual({
      host: recorder.address.replace("https://", ""),
      connection: "keep-alive",
      "x-vault-request": "true",
      "x-request-id": answer.headers["x-request-id"],
      "x-vault-token": "hvb.recorder",
      "content-type": "application/json",
      "content-length": "11",
    });
    expect(answer.headers["x-request-id"]).not.toBe("chosen-by-caller");
  });

  test("nor does anything of a Vault's but its status, its body and its length reach the caller", async () => {
    recorder.answer = (_request, response) => {
      const body = '{"auth":{"client_token":"hvb.x"}}';
      response.writeHead(200, {
        "Content-Type": "text/html",
        "Set-Cookie": "a=b",
        "X-Vault-Token": "leak",
        Location: "https://10.0.0.1",
      });
      response.end(body);
    };
    const { headers } = await gateway.call("GET", "/v1/secret/data/x", { token });
    recorder.answer = undefined;
    expect(Object.keys(headers).sort()).toEqual(
      [
        "cache-control",
        "connection",
        "content-type",
        "date",
        "transfer-encoding",
        "x-content-type-options",
        "x-request-id",
      ].sort(),
    );
    expect(headers["content-type"]).toBe("application/json");
  });

  test("the body of a GET or a DELETE stays here", async () => {
    for (const method of ["GET", "DELETE"]) {
      await gateway.call(method, "/v1/secret/data/x", {
        token,
        body: "{}",
        headers: { "content-length": "2" },
      });
    }
    expect(recorder.requests.slice(1).map(({ body }) => body)).toEqual(["", ""]);
  });
});

describe("LIST, which Node's parser does not know", () => {
  const list = (...more: string[]) => head("LIST /v1/secret/metadata/app HTTP/1.1", ...more);

  test("is the same as GET with list=true", async () => {
    const answer = await gateway.raw(list());
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(answer).toMatch(/^connection: close\r$/im);
    const { status, text } = await gateway.call("LIST", "/v1/secret/metadata/app", { token });
    expect({ status, text }).toEqual({ status: 200, text: '{"data":{}}' });
    const [login, sent] = recorder.requests;
    expect(login?.url).toBe("/v1/auth/jwt/login");
    expect(sent).toMatchObject({ method: "GET", url: "/v1/secret/metadata/app?list=true" });
  });

  test("also as a later request of a connection that was kept", async () => {
    const socket = connect(Number(new URL(gateway.url).port), "127.0.0.1");
    const closed = new Promise((resolve) => socket.once("close", resolve));
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk;
    });
    socket.write(`GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n`);
    await expect.poll(() => text).toContain("cluster_name");
    text = "";
    socket.write(list());
    await expect.poll(() => text).toContain('{"data":{}}');
    await closed;
  });

  test("in segments, behind a request without an answer yet, which is not lost, and logged as what it is", async () => {
    const { promise: read, resolve: answerRead } = Promise.withResolvers<void>();
    recorder.answer = async (request, response) => {
      if (request.url.endsWith("/slow")) await read;
      answerAsVault(request, response);
    };
    const socket = connect(Number(new URL(gateway.url).port), "127.0.0.1").setNoDelay();
    const closed = new Promise((resolve) => socket.once("close", resolve));
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk;
    });
    const slow = head("GET /v1/secret/data/slow HTTP/1.1").replace("Connection: close\r\n", "");
    const whole = list();
    socket.write(slow + whole.slice(0, 20));
    await expect.poll(() => recorder.requests.map(({ url }) => url)).toContain("/v1/secret/data/slow");
    socket.write(whole.slice(20));
    await sleep(50);
    expect(text).toBe("");
    answerRead();
    await closed;
    recorder.answer = undefined;
    expect(text.match(/HTTP\/1\.1 \d{3}/g)).toEqual(["HTTP/1.1 200", "HTTP/1.1 200"]);
    const lines = () => gateway.log().filter(({ method }) => method === "LIST");
    await expect
      .poll(() => lines().at(-1))
      .toMatchObject({
        ...{ method: "LIST", route: "secret/metadata", status: 200, decision: "allowed" },
      });
    expect(lines().at(-1)).not.toHaveProperty("reason");
  });

  test("has its answer whole, however long, and none where the Vault's breaks off", async () => {
    const keys = JSON.stringify({ data: { keys: ["k".repeat(5_000_000)] } });
    recorder.answer = (request, response) => {
      if (request.url.endsWith("/login")) answerAsVault(request, response);
      else response.writeHead(200).end(keys);
    };
    const ask = () => gateway.call("LIST", "/v1/secret/metadata/app", { token });
    expect((await ask()).text).toBe(keys);
    recorder.answer = (_request, response) => {
      response.writeHead(200, { "content-length": keys.length });
      response.write(keys.slice(0, 100_000), () => response.socket?.destroy());
    };
    await expect(ask()).rejects.toMatchObject({ code: "ECONNRESET" });
    recorder.answer = (request, response) => {
      if (request.url.endsWith("/login")) return answerAsVault(request, response);
      response.write(keys.slice(0, 100_000), () => response.socket?.destroy());
    };
    await expect(ask()).rejects.toMatchObject({ code: "ECONNRESET" });
    recorder.answer = undefined;
  });

  test("passes every check", async () => {
    expect(await statuses("LIST /v1/secret/metadata/app HTTP/1.1\r\nHost: x\r\n\r\n")).toEqual([401]);
    expect(await statuses(head("LIST /v1/secret/data/app HTTP/1.1"))).toEqual([400]);
    expect(await statuses(head("LIST /v1/sys/policies/acl HTTP/1.1"))).toEqual([403]);
    expect(await statuses(list(`Authorization: Bearer ${issuer.token({ sub: "other" })}`))).toEqual([403]);
    expect(await statuses(list(`X-Vault-Token: ${token}`))).toEqual([403]);
    expect(recorder.connections).toBe(0);
  });

  test.each<[string, (good: string) => string]>([
    ["with something after it", (good) => `${good}GET / HTTP/1.1\r\nHost: x\r\n\r\n`],
    ["with a body", (good) => good.replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\n{}")],
    ["with a length but no body", (good) => good.replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\n")],
    [
      "with two lengths",
      (good) => good.replace("\r\n\r\n", "\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"),
    ],
    ["in chunks", (good) => good.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n")],
    ["without a host", (good) => good.replace("Host: x\r\n", "")],
    ["with two hosts", (good) => good.replace("Host: x", "Host: x\r\nHost: y")],
    ["of HTTP/1.0", (good) => good.replace("HTTP/1.1", "HTTP/1.0")],
    ["with bare line feeds", (good) => good.replaceAll("\r\n", "\n")],
    ["with a folded header", (good) => good.replace("Host: x", "Host: x\r\n y")],
    ["with a space before a colon", (good) => good.replace("Host:", "Host :")],
    ["with a control character", (good) => good.replace("Host: x", "Host: x\u0001")],
    ["with a list that is none", (good) => good.replace("/app", "/app?list=false")],
    ["with dots", (good) => good.replace("/app", "/../app")],
    ["with two queries", (good) => good.replace("/app", "/app?list=true?list=true")],
    ["to a whole address", (good) => good.replace("/v1", "http://x/v1")],
    ["with too many headers", (good) => good.replace("Host: x", `Host: x${"\r\na: b".repeat(70)}`)],
    ["in small letters", (good) => good.replace("LIST", "list")],
  ])("%s is refused", async (_name, change) => {
    expect(await statuses(change(list()))).toEqual([400]);
    expect(recorder.connections).toBe(0);
  });
});
