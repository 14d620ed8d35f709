import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, onTestFinished, vi } from "vitest";
import { Logins } from "../../services/gateway/upstream/logins.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { test } from "../harness/fixtures.ts";
import { exchange, getRequest } from "../harness/flood.ts";
import { type Answer, startGateway, type TestGateway, type TestGatewayOptions } from "../harness/gateway.ts";
import { answerAsVault, type Recorder } from "../harness/recorder.ts";
import type { TestIssuer } from "../harness/tokens.ts";
import type { InternalVault } from "../harness/vault.ts";

/** Only the long way asks for a login, whether or not there is one already. */
const longWay = vi.spyOn(Logins.prototype, "tokenFor");

let internal: InternalVault;
let issuer: TestIssuer;
let vault: Recorder;
test.beforeAll(({ recordedOrg }) => {
  ({ internal, issuer, recorder: vault } = recordedOrg);
});
afterEach(() => {
  vault.answer = undefined;
});

const READ = "/v1/secret/data/app";
/** Stand in a table for what is only known when the test runs. */
const [OWN, TOKEN] = ["(its own)", "(the token)"];
type Headers = Record<string, string>;
let token: string;
let people = 0;
beforeEach(() => {
  people++;
  token = issuer.token({ sub: `p-${people}`, jti: `t-${people}` });
});

const entries = () => [{ id: vault.org, claim: "org_acme", address: vault.address }];

/** A gateway that knows the caller: it has read by the token once. */
async function gatewayThatKnows(options: Partial<TestGatewayOptions> = {}): Promise<TestGateway> {
  const gateway = await startGateway({ issuers: [issuer], ca: internal.ca, orgs: entries(), ...options });
  onTestFinished(() => gateway.close());
  expect((await gateway.call("GET", READ, { token })).status).toBe(200);
  vault.clear();
  longWay.mockClear();
  gateway.log().length = 0;
  return gateway;
}

/** The line that a request has left, once there are so many. */
async function lastLine(gateway: TestGateway, count = 1): Promise<Record<string, unknown>> {
  const lines = () => gateway.log().filter(({ msg }) => msg === "request");
  await expect.poll(() => lines().length, { interval: 2 }).toBe(count);
  return lines()[count - 1] as Record<string, unknown>;
}

describe("a known caller's read", () => {
  test("takes the fast path, with none of the caller's headers and one log line", async () => {
    const gateway = await gatewayThatKnows();
    vault.answer = (_request, response) => response.end('{"data":{"a":"1"}}');
    const answer = await gateway.call("GET", READ, { token, headers: { "x-vault-request": "true", x: "y" } });
    expect(answer).toMatchObject({ status: 200, text: '{"data":{"a":"1"}}' });
    expect(longWay).not.toHaveBeenCalled();
    expect(vault.requests).toMatchObject([{ method: "GET", url: READ, body: "" }]);
    const requestId = answer.headers["x-request-id"];
    expect(vault.requests[0]?.headers).toEqual({
      ...{ host: new URL(vault.address).host, connection: "keep-alive", "x-vault-request": "true" },
      ...{ "x-request-id": requestId, "x-vault-token": "hvb.recorder" },
    });
    expect(await lastLine(gateway)).toMatchObject({
      ...{ requestId, org: vault.org, method: "GET", route: "secret/data", status: 200, decision: "allowed" },
      ...{ subject: expect.stringMatching(/^[\w-]{16,}$/), ms: expect.any(Number) },
      ...{ upstreamMs: expect.any(Number) },
    });
    await sleep(20);
    expect(gateway.log()).toHaveLength(1);
  });

  test.each<[name: string, sent: boolean, path: string, headers?: Headers]>([
    ["a secret", true, READ],
    ["a version of one", true, `${READ}?version=2`],
    ["a list", true, "/v1/secret/metadata/app?list=true"],
    ["a name with a space, which is not there", true, "/v1/secret/data/a%20b"],
    ["the mounts", true, "/v1/sys/internal/ui/mounts/secret"],
    ["its own namespace", true, READ, { "x-vault-namespace": OWN }],
    ["a token in both headers", true, READ, { "x-vault-token": TOKEN }],
    ["another namespace", false, READ, { "x-vault-namespace": "root" }],
    ["wrapping", false, READ, { "x-vault-wrap-ttl": "60s" }],
    ["a second token", false, READ, { "x-vault-token": "a.b.c" }],
    ["a path with dots", false, "/v1/secret/data/%2e%2e/metadata/app"],
    ["an encoded slash", true, "/v1/secret/data/a%2fb"],
    ["a name beyond ASCII", true, "/v1/secret/data/%C3%BC%20b"],
    ["no such list", false, `${READ}?list=1`],
    ["an unknown parameter", true, `${READ}?x=1`],
    ["a path that is not served", false, "/v1/sys/policies"],
    ["what is only written", false, "/v1/secret/undelete/app"],
    ["the token's own claims", false, "/v1/auth/token/lookup-self"],
    ["a status that is open", true, "/v1/sys/seal-status"],
  ])("%s: the answer, what is sent and the line are those of the long way", async (_name, sent, path, more) => {
    const gateway = await gatewayThatKnows();
    vault.answer = ({ url }, response) => {
      if (url.includes("%20")) response.statusCode = 404;
      response.end('{"data":{"metadata":{"version":3}}}');
    };
    const headers = { authorization: `Bearer ${token}`, ...more };
    for (const [name, value] of Object.entries(headers)) {
      headers[name as keyof typeof headers] = value === OWN ? vault.org : value === TOKEN ? token : value;
    }
    /** What there is of a request afterwards, without what is of the moment or of the connection. */
    const traces = async ({ status, text, headers: answered }: Answer) => {
      const { connection, date, "keep-alive": _, "x-request-id": id, ...same } = answered;
      const { requestId, time, ms, upstreamMs, ...line } = await lastLine(gateway);
      expect(requestId).toBe(id);
      const reached = vault.requests.map(({ headers: { "x-request-id": sentId, ...others }, ...request }) => {
        expect(sentId).toBe(id);
        return { ...request, headers: others };
      });
      vault.clear();
      gateway.log().length = 0;
      return { status, text: text.replaceAll(String(id), "ID"), headers: same, reached, line };
    };
    const long = await traces(
      await gateway.call("GET", path, { headers: { ...headers, "content-length": "0" } }),
    );
    expect(long.reached).toHaveLength(sent ? 1 : 0);
    longWay.mockClear();
    expect(await traces(await gateway.call("GET", path, { headers }))).toEqual(long);
    expect(longWay).not.toHaveBeenCalled();
  });

  test("by HTTP/1.0, with a body or by another verb takes the full path", async () => {
    const gateway = await gatewayThatKnows();
    const head = (line: string, ...more: string[]) =>
      [line, "Host: x", `X-Vault-Token: ${token}`, "Connection: close", ...more, "", ""].join("\r\n");
    for (const bytes of [
      head(`GET ${READ} HTTP/1.0`),
      `${head(`GET ${READ} HTTP/1.1`, "Content-Length: 2")}{}`,
      `${head(`GET ${READ} HTTP/1.1`, "Transfer-Encoding: chunked")}2\r\n{}\r\n0\r\n\r\n`,
      head(`DELETE ${READ} HTTP/1.1`),
    ]) {
      longWay.mockClear();
      expect(await gateway.raw(bytes)).toMatch(/^HTTP\/1\.1 200 /);
      expect(longWay).toHaveBeenCalledTimes(1);
    }
  });
});

describe("a caller is no longer known", () => {
  const read = async (gateway: TestGateway) => (await gateway.call("GET", READ, { token })).status;

  test("when its token is revoked", async () => {
    const gateway = await gatewayThatKnows();
    const ends = Math.floor(Date.now() / 1000) + 3_600;
    await gateway.revoke([
      { issuer: issuer.issuer.issuer, claim: "org_acme", revocations: [{ tokenId: `t-${people}`, ends }] },
    ]);
    expect(await read(gateway)).toBe(403);
    expect(await lastLine(gateway)).toMatchObject({ status: 403, reason: "revoked" });
    expect(vault.requests).toEqual([]);
  });

  test("when its token expires", async () => {
    let shift = 0;
    const gateway = await gatewayThatKnows({ now: () => Date.now() + shift });
    shift = 290_000;
    await gateway.call("GET", READ, { token }); // logged in anew
    longWay.mockClear();
    expect(await read(gateway)).toBe(200);
    expect(longWay).not.toHaveBeenCalled();
    vault.clear();
    shift = 301_000;
    expect(await read(gateway)).toBe(403);
    expect(vault.requests).toEqual([]);
  });

  test("when its login has expired: it is logged in again", async () => {
    let shift = 0;
    const gateway = await gatewayThatKnows({ now: () => Date.now() + shift });
    shift = 56_000;
    expect(await read(gateway)).toBe(200);
    expect(vault.requests.map(({ url }) => url)).toEqual(["/v1/auth/jwt/login", READ]);
  });

  test("when its organization is deleted, or another has its address", async () => {
    const gateway = await gatewayThatKnows();
    const deleted = [vault.org];
    await gateway.publish([], { deleted });
    expect(await read(gateway)).toBe(403);
    await gateway.publish([{ id: newOrgId(), claim: "org_acme", address: vault.address }], { deleted });
    expect(await read(gateway)).toBe(503); // the certificate there is not its own
    expect(vault.requests).toEqual([]);
  });
});

test("an organization's limit counts each read once, on either path", async () => {
  const gateway = await gatewayThatKnows({ limits: { org: { perSecond: 0.01, burst: 6 } } });
  const answers = [];
  for (let i = 0; i < 8; i++) {
    const headers = i % 2 ? { "content-length": "0" } : {};
    answers.push(await gateway.call("GET", READ, { token, headers }));
  }
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 429, 429, 429]);
  expect(Number(answers.at(-1)?.headers["retry-after"])).toBeGreaterThan(1);
  expect(gateway.log().at(-1)).toMatchObject({ status: 429, org: vault.org, reason: "too_many_requests" });
});

test("a Vault's failure is reported as on the full path", async () => {
  const times = { connectMs: 500, silenceMs: 300, wholeMs: 1_000 };
  const faults: [Recorder["answer"], status: number][] = [
    [(_request, response) => response.writeHead(503).end('{"errors":["Vault is sealed"]}'), 503],
    [(_request, response) => response.writeHead(500).end('{"errors":["value being too large"]}'), 413],
    [(_request, response) => response.writeHead(307, { location: "https://x" }).end(), 503],
    [() => undefined, 504],
    [(_request, response) => response.destroy(), 503],
  ];
  for (const [answer, expected] of faults) {
    const gateway = await gatewayThatKnows({ upstreamTimes: times });
    vault.answer = answer;
    const long = await gateway.call("GET", READ, { token, headers: { "content-length": "0" } });
    longWay.mockClear();
    const { status, headers, json } = await gateway.call("GET", READ, { token });
    expect(longWay).not.toHaveBeenCalled();
    expect(status).toBe(expected);
    expect({ status, json }).toEqual({ status: long.status, json: long.json });
    for (const name of ["content-type", "cache-control", "retry-after", "x-content-type-options"]) {
      expect(headers[name], name).toBe(long.headers[name]);
    }
    const { requestId, time, ms, upstreamMs, ...line } = await lastLine(gateway, 2);
    expect(line).toEqual(
      expect.objectContaining({ status, decision: status === 413 ? "refused" : "failed" }),
    );
    expect(requestId).toBe(headers["x-request-id"]);
    vault.answer = undefined;
  }
});

test("an answer that is cut off is cut off for the caller too", async () => {
  const gateway = await gatewayThatKnows();
  vault.answer = (_request, response) => {
    response.writeHead(200, { "content-length": 100 });
    response.write('{"data":');
    setTimeout(() => response.destroy(), 20);
  };
  await expect(gateway.call("GET", READ, { token })).rejects.toThrow();
  expect(longWay).not.toHaveBeenCalled();
  expect(await lastLine(gateway)).toMatchObject({ status: 200, decision: "failed" });
});

test("a caller that disconnects aborts the request to its Vault", async () => {
  const gateway = await gatewayThatKnows();
  const ended = new Promise((resolve) => {
    vault.answer = (_request, response) => response.on("close", resolve);
  });
  const socket = connect(Number(new URL(gateway.url).port), "127.0.0.1");
  socket.write(getRequest(READ, token));
  await expect.poll(() => vault.requests.length).toBe(1);
  socket.destroy();
  await ended;
  expect(longWay).not.toHaveBeenCalled();
  expect(await lastLine(gateway)).toMatchObject({ status: 499, reason: "caller_gone" });
});

test("during shutdown, requests in progress are answered, and kept-alive connections end with their next answer", async () => {
  const gateway = await gatewayThatKnows();
  const { promise, resolve: answerFirst } = Promise.withResolvers<void>();
  vault.answer = async (request, response) => {
    await promise;
    answerAsVault(request, response);
  };
  const socket = connect(Number(new URL(gateway.url).port), "127.0.0.1");
  const first = exchange(socket, getRequest(READ, token));
  await expect.poll(() => vault.requests.length).toBe(1);
  const closed = gateway.app.close();
  await sleep(20);
  answerFirst();
  expect(await first).toMatch(/^HTTP\/1\.1 200 /);
  expect(longWay).not.toHaveBeenCalled();
  const ended = once(socket, "close");
  expect(await exchange(socket, getRequest(READ, token))).toMatch(/^connection: close\r$/im);
  await Promise.all([ended, closed]);
});
