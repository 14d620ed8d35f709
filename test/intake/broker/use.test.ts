import { createHash } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { StoreUnavailableError, type Write } from "../../../services/intake/store/store.ts";
import type { CallFailure } from "../../../services/shared/broker/calls.ts";
import { credentialBody } from "../../harness/intake.ts";
import type { Served } from "./frame-server.ts";
import { type BrokerStage, send, startBrokerStage } from "./stage.ts";

let stage: BrokerStage;
beforeAll(async () => {
  stage = await startBrokerStage();
  await stage.put("stripe");
});
afterAll(() => stage.close());

const digest = (data: string | Buffer) => createHash("sha256").update(data).digest("base64url");
/** Answers with the request's own body. */
const echo = async ({ go, body, head, data, end, call }: Served) => {
  await go();
  const parts: Buffer[] = [];
  if (call.request.body !== "none") for await (const part of body()) parts.push(part);
  const whole = Buffer.concat(parts);
  head(200, [["content-type", "text/plain"]]);
  await data(whole.length > 0 ? whole : "hello");
  end({ sentBytes: whole.length, bodyDigest: digest(whole) });
};
beforeEach(() => {
  stage.frames.serve = echo;
  stage.frames.calls.length = 0;
});

describe("an answer", () => {
  test("is passed on as it is, marked as the destination's, with the receipt's id", async () => {
    stage.frames.serve = async ({ go, whole }) => {
      const receipt = await go();
      expect(receipt?.entry).toMatchObject({ type: "intent", action: "use", rule: "read" });
      const headers: [string, string][] = [
        ["content-type", "application/vnd.tea"],
        ["x-trace", "one"],
        ["x-trace", "two"],
        ["connection", "close"],
        ["set-cookie", "session=1"],
        ["strongroom-answer", "platform"],
        ["x-request-id", "theirs"],
      ];
      whole(418, headers, "short and stout", { scrubbed: 1 });
    };
    const answer = await stage.send("GET", "/v1/use/stripe/v1/tea?page=2");
    expect(answer).toMatchObject({ status: 418, text: "short and stout", isCut: false });
    expect(answer.headers).toMatchObject({
      ...{ "content-type": "application/vnd.tea", "x-trace": "one, two", "strongroom-answer": "destination" },
      ...{ "cache-control": "no-store", "content-length": "15" },
    });
    expect(answer.headers["set-cookie"]).toBeUndefined();
    const id = answer.headers["strongroom-receipt"] as string;
    expect(answer.headers["x-request-id"]).toBe(id);
    const [intent, completion] = await stage.receipts(id);
    expect(intent).toMatchObject({
      ...{ credential: "stripe", version: 1, host: "api.example.com", method: "GET", pathPattern: "/v1/**" },
      by: { subject: "ada", level: "writer" },
    });
    expect(completion).toMatchObject({ type: "completion", outcome: "answered", status: 418, scrubbed: 1 });
    expect(stage.frames.calls[0]).toMatchObject({
      ...{ id, org: stage.acme, request: { method: "GET", path: "/v1/tea?page=2", body: "none" } },
      credential: { name: "stripe", version: 1 },
    });
  });

  test("without a body, and one of HEAD", async () => {
    stage.frames.serve = async ({ go, head, end, call }) => {
      await go();
      head(call.request.method === "HEAD" ? 200 : 204, [["etag", "x"]]);
      end();
    };
    expect(await stage.send("GET", "/v1/use/stripe/v1/none")).toMatchObject({ status: 204, text: "" });
    expect(await stage.send("HEAD", "/v1/use/stripe/v1/none")).toMatchObject({ status: 200, text: "" });
  });

  test("that begins and goes on later comes as it is sent", async () => {
    const more = Promise.withResolvers<void>();
    stage.frames.serve = async ({ go, head, data, end }) => {
      await go();
      head(200, [["content-type", "text/event-stream"]]);
      await data("data: 1\n\n");
      await more.promise;
      await data("data: 2\n\n");
      end();
    };
    const { hostname, port } = new URL(stage.intake.address);
    const asked = httpRequest({
      ...{ hostname, port, path: "/v1/use/stripe/v1/events" },
      headers: { authorization: `Bearer ${stage.token()}` },
    });
    asked.end();
    const [response] = await once(asked, "response");
    const [first] = await once(response, "data");
    expect(String(first)).toBe("data: 1\n\n");
    more.resolve();
    const [second] = await once(response, "data");
    expect(String(second)).toBe("data: 2\n\n");
  });
});

describe("a body", () => {
  const post = (body: Buffer | string, headers = {}) =>
    stage.send("POST", "/v1/use/stripe/v1/things", {
      ...{ body, headers: { "content-type": "application/json", ...headers } },
    });

  test("that is short is read first, and its digest is in the intent", async () => {
    const answer = await post('{"a":1}');
    expect(answer).toMatchObject({ status: 200, text: '{"a":1}' });
    const [intent] = await stage.receipts(answer.headers["strongroom-receipt"] as string);
    expect(intent).toMatchObject({ bodyDigest: digest('{"a":1}') });
    expect(stage.frames.calls[0]?.request.body).toEqual({ bytes: 7 });
  });

  test("that is long, or in chunks, is streamed, and its digest is in the completion", async () => {
    const long = Buffer.alloc(3_000_000, "long ");
    const answers = [await post(long), await post(long, { "transfer-encoding": "chunked" })];
    for (const answer of answers) {
      expect(digest(answer.text)).toBe(digest(long));
      const [intent, completion] = await stage.receipts(answer.headers["strongroom-receipt"] as string);
      expect(intent).not.toHaveProperty("bodyDigest");
      expect(completion).toMatchObject({
        outcome: "answered",
        bodyDigest: digest(long),
        sentBytes: long.length,
      });
    }
    expect(stage.frames.calls.map(({ request }) => request.body)).toEqual([
      { bytes: long.length },
      "chunked",
    ]);
  });

  test("is not JSON's alone, whatever it says that it is", async () => {
    const answer = await stage.send("PUT", "/v1/use/stripe/v1/blob", {
      ...{ body: "{not json", headers: { "content-type": "application/octet-stream" } },
    });
    expect(answer).toMatchObject({ status: 200, text: "{not json" });
  });

  test("longer than allowed is refused before anything is sent, also if it does not say so", async () => {
    const limited = await stage.start({
      broker: stage.frames.client,
      uses: { ofOrg: 10, ofCredential: 10, mostBodyBytes: 300_000 },
    });
    const body = Buffer.alloc(400_000);
    const options = { token: stage.token("writer"), body };
    const type = { "content-type": "application/json" };
    const said = await send(limited.address, "POST", "/v1/use/stripe/v1/x", { ...options, headers: type });
    expect(said).toMatchObject({ status: 413, json: { code: "body_too_large" } });
    expect(stage.frames.calls.length).toBe(0);
    const unsaid = await send(limited.address, "POST", "/v1/use/stripe/v1/x", {
      ...{ ...options, headers: { ...type, "transfer-encoding": "chunked" } },
    });
    expect(unsaid).toMatchObject({ status: 413, json: { code: "body_too_large" } });
    const [, completion] = await stage.receipts(unsaid.headers["strongroom-receipt"] as string);
    expect(completion).toMatchObject({ outcome: "cancelled", failure: "body_too_large" });
  });
});

describe("refused before the broker is called", () => {
  const url = "/v1/use/stripe";
  test.each([
    ["no token", "GET", `${url}/v1/me`, { token: "" }, 401, "unauthenticated"],
    ["an unknown credential", "GET", "/v1/use/nothing/v1/me", {}, 404, "not_found"],
    ["another method", "OPTIONS", `${url}/v1/me`, {}, 405, "method_not_allowed"],
    ["TRACE", "TRACE", `${url}/v1/me`, {}, 405, "method_not_allowed"],
    ["a path with two dots", "GET", `${url}/v1/../me`, {}, 400, "invalid_path"],
    ["encoded dots", "GET", `${url}/v1/%2e%2e/me`, {}, 400, "invalid_path"],
    ["an encoded slash", "GET", `${url}/v1/a%2fb`, {}, 400, "invalid_path"],
    ["an empty segment", "GET", `${url}/v1//me`, {}, 400, "invalid_path"],
    ["an empty segment before the path", "GET", `${url}//v1/me`, {}, 400, "invalid_path"],
    ["a backslash", "GET", `${url}/v1/%5cme`, {}, 400, "invalid_path"],
    ["a double encoding", "GET", `${url}/v1/%252e%252e/me`, {}, 400, "invalid_path"],
    ["the platform's path, encoded", "GET", "/v1/%75se/stripe/v1/me", {}, 400, "invalid_path"],
    ["the credential's name, encoded", "GET", "/v1/use/%73tripe/v1/me", {}, 400, "invalid_path"],
    ["a query with a bracket that is none", "GET", `${url}/v1/me?a={}`, {}, 400, "invalid_path"],
    ["a path that is too long", "GET", `${url}/v1/${"a".repeat(4_100)}`, {}, 400, "invalid_path"],
    [
      "an upgrade",
      "GET",
      `${url}/v1/me`,
      { headers: { connection: "upgrade", upgrade: "h2c" } },
      400,
      "invalid_request",
    ],
    [
      "a body with GET",
      "GET",
      `${url}/v1/me`,
      { body: "x", headers: { "content-length": "1" } },
      400,
      "invalid_request",
    ],
    [
      "a body with Content-Encoding",
      ...(["POST", `${url}/v1/me`] as const),
      { body: "x", headers: { "content-type": "application/json", "content-encoding": "gzip" } },
      ...([400, "invalid_request"] as const),
    ],
    [
      "another's name of the organization",
      "GET",
      `${url}/v1/me`,
      { headers: { "x-vault-namespace": "oother" } },
      400,
      "invalid_request",
    ],
  ] as const)("%s", async (_, method, path, options, status, code) => {
    const answer = await stage.send(method, path, options as object);
    expect(answer).toMatchObject({ status, json: { code } });
    expect(answer.headers["strongroom-answer"] ?? "platform").toBe("platform");
    expect(stage.frames.calls.length).toBe(0);
  });

  test.each([
    ["/path", "GET", "/v2/me", {}],
    ["/method", "DELETE", "/v1/x", { token: "reader" }],
    ["/query", "GET", "/v1/me?page=1&admin=1", {}],
    ["/query", "GET", "/v1/me?page=1;admin=1", {}],
    ["/headers/content-type", "POST", "/v1/x", { body: "a", headers: { "content-type": "text/plain" } }],
    ["/headers/content-type", "POST", "/v1/x", { body: "a" }],
  ])("what no rule allows: %s of %s %s", async (pointer, method, path, options) => {
    const token = "token" in options ? stage.token() : stage.token("writer");
    const answer = await stage.send(method, `/v1/use/stripe${path}`, { ...options, token });
    expect(answer).toMatchObject({ status: 403, json: { code: "use_not_allowed", errors: [{ pointer }] } });
    // Nothing of the rules, or of who else there is.
    for (const word of ["danger", "root", "/admin", "write"]) expect(answer.text).not.toContain(word);
    expect(answer.headers["strongroom-answer"]).toBe("platform");
    expect(answer.headers["strongroom-receipt"]).toBeUndefined();
  });

  test("who no rule is for", async () => {
    await stage.put(
      "admins",
      {},
      { rules: [{ id: "a", methods: ["GET"], paths: ["/**"], who: { level: "admin" } }] },
    );
    const answer = await stage.send("GET", "/v1/use/admins/x");
    expect(answer).toMatchObject({ status: 403, json: { errors: [{ pointer: "/who" }] } });
  });

  test("a disabled credential, one of jobs, and one of another organization", async () => {
    const token = stage.token("admin");
    await stage.put("off");
    await stage.intake.call("POST", "/v1/credentials/off/disable", { token });
    expect(await stage.send("GET", "/v1/use/off/v1/me")).toMatchObject({
      ...{ status: 409, json: { code: "credential_disabled" } },
    });
    await stage.intake.call("PUT", "/v1/credentials/jobs", { token, body: credentialBody() });
    expect(await stage.send("GET", "/v1/use/jobs/v1/me")).toMatchObject({
      status: 409,
      json: { code: "conflict" },
    });
    const globex = stage.token("admin", "org_globex");
    expect(await stage.send("GET", "/v1/use/stripe/v1/me", { token: globex })).toMatchObject({ status: 404 });
    const job = await stage.intake.call("POST", "/v1/jobs", {
      token,
      body: { credential: "stripe", request: { method: "GET", path: "/v1/me" } },
    });
    expect(job).toMatchObject({ status: 409, json: { code: "conflict" } });
  });

  test("CONNECT, and expectations that are none", async () => {
    const raw = async (text: string) => {
      const { hostname, port } = new URL(stage.intake.address);
      const socket = connect({ host: hostname, port: Number(port) });
      socket.write(text);
      let answer = "";
      for await (const chunk of socket.setEncoding("utf8")) answer += chunk;
      return answer;
    };
    expect(await raw("CONNECT api.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n")).toMatch(
      /^HTTP\/1\.1 405 [\s\S]*method_not_allowed/,
    );
    expect(await raw("GET /v1/use/stripe/v1/me HTTP/1.1\r\nHost: x\r\nExpect: the-best\r\n\r\n")).toMatch(
      /^HTTP\/1\.1 400 [\s\S]*invalid_request/,
    );
  });
});

test("headers go as they came, without the caller's token, cookies, and what frames a message", async () => {
  await stage.send("GET", "/v1/use/stripe/v1/me", {
    headers: {
      ...{
        "X-Api-Version": "2024",
        Accept: "text/html",
        "Idempotency-Key": "k1",
        cookie: "a=b",
        range: "bytes=0-1",
      },
      ...{ "x-forwarded-for": "1.2.3.4", "x-vault-request": "true", "accept-encoding": "gzip", via: "1.1 x" },
      ...{ connection: "keep-alive, x-hop", "x-hop": "1", "strongroom-answer": "destination" },
    },
  });
  expect(stage.frames.calls[0]?.request.headers).toEqual([
    ["X-Api-Version", "2024"],
    ["Accept", "text/html"],
    ["Idempotency-Key", "k1"],
  ]);
});

describe("a failure that the broker reports", () => {
  test.each([
    ["unauthenticated", 401, "unauthenticated"],
    ["forbidden", 403, "forbidden"],
    ["rate_limited", 429, "too_many_requests"],
    ["not_openable", 422, "sealed_value_refused"],
    ["key_unavailable", 503, "key_provider_unavailable"],
    ["unusable_value", 422, "invalid_value"],
    ["destination_refused", 502, "destination_refused"],
    ["unreachable", 502, "destination_unreachable"],
    ["circuit_open", 503, "destination_circuit_open"],
    ["timeout", 504, "destination_timeout"],
    ["answer_unusable", 502, "destination_answer_unusable"],
    ["response_blocked", 502, "response_blocked"],
    ["receipt_mismatch", 500, "internal"],
    ["internal", 503, "broker_unavailable"],
  ] as [CallFailure, number, string][])("%s is %i %s", async (failure, status, code) => {
    stage.frames.serve = async ({ go, failed }) => {
      await go();
      failed(failure, { isSent: failure === "response_blocked", retryAfterSeconds: 7 });
    };
    const answer = await stage.send("GET", "/v1/use/stripe/v1/me");
    expect(answer).toMatchObject({ status, json: { code } });
    expect(answer.headers["strongroom-answer"]).toBe("platform");
    if (status === 429 || status === 503) expect(answer.headers["retry-after"]).toBe("7");
    const [intent, completion] = await stage.receipts(answer.headers["strongroom-receipt"] as string);
    expect(intent?.type).toBe("intent");
    expect(completion).toMatchObject({
      failure,
      outcome: failure === "response_blocked" ? "blocked" : "not_sent",
    });
  });

  test("before the receipt is durable: it is completed all the same", async () => {
    stage.frames.serve = ({ failed }) => failed("not_allowed", { part: "hours" });
    const answer = await stage.send("GET", "/v1/use/stripe/v1/me");
    expect(answer).toMatchObject({ status: 403, json: { errors: [{ pointer: "/hours" }] } });
    const [, completion] = await stage.receipts(answer.headers["strongroom-receipt"] as string);
    expect(completion).toMatchObject({ outcome: "not_sent", failure: "not_allowed" });
  });

  test("just after the head, before any byte: still a problem", async () => {
    stage.frames.serve = async ({ go, head, failed }) => {
      await go();
      head();
      failed("response_blocked", { isSent: true });
    };
    const answer = await stage.send("GET", "/v1/use/stripe/v1/me");
    expect(answer).toMatchObject({ status: 502, json: { code: "response_blocked" } });
    expect(answer.json.detail).toContain(answer.headers["strongroom-receipt"]);
  });

  test("after a part of the answer: the connection breaks, and nobody takes it for whole", async () => {
    stage.frames.serve = async ({ go, head, data, failed, response }) => {
      await go();
      head(200, [["content-type", "text/plain"]]);
      await data("the beginning");
      await new Promise((resolve) => setTimeout(resolve, 200));
      if (!response.destroyed) failed("response_blocked", { isSent: true });
    };
    const answer = await stage.send("GET", "/v1/use/stripe/v1/me");
    expect(answer).toMatchObject({ status: 200, text: "the beginning", isCut: true });
    const [, completion] = await stage.receipts(answer.headers["strongroom-receipt"] as string);
    expect(completion).toMatchObject({ outcome: "blocked", status: 200, receivedBytes: 13 });
  });
});

describe("a broker that breaks off", () => {
  test.each([
    [
      "after it may send",
      async ({ go, request }: Served) => {
        await go();
        request.socket.destroy();
      },
      ...(["unknown", 503] as const),
    ],
    [
      "by a stream that ends without its last frame",
      async ({ go, response }: Served) => {
        await go();
        response.end();
      },
      ...(["unknown", 503] as const),
    ],
    [
      "by a stream that is none of frames",
      async ({ go, response }: Served) => {
        await go();
        response.end("HTTP/1.1 200 OK\r\n\r\n and so on");
      },
      ...(["unknown", 503] as const),
    ],
    [
      "by a head that is none",
      async ({ go, head }: Served) => {
        await go();
        head(99);
      },
      ...(["unknown", 503] as const),
    ],
    [
      "by an end without a head",
      async ({ go, end }: Served) => {
        await go();
        end();
      },
      ...(["unknown", 503] as const),
    ],
  ])("%s", async (_, serve, outcome, status) => {
    stage.frames.serve = serve;
    const answer = await stage.send("GET", "/v1/use/stripe/v1/me");
    expect(answer).toMatchObject({ status, json: { code: "broker_unavailable" } });
    const [, completion] = await stage.receipts(answer.headers["strongroom-receipt"] as string);
    expect(completion).toMatchObject({ outcome, failure: "broker_unavailable" });
  });

  test("in the middle of an answer: it is cut", async () => {
    stage.frames.serve = async ({ go, head, data, request }) => {
      await go();
      head();
      await data("x".repeat(10_000));
      setTimeout(() => request.socket.destroy(), 200);
    };
    const answer = await stage.send("GET", "/v1/use/stripe/v1/me");
    expect(answer).toMatchObject({ status: 200, isCut: true });
    const [, completion] = await stage.receipts(answer.headers["strongroom-receipt"] as string);
    expect(completion).toMatchObject({ outcome: "unknown", status: 200 });
  });

  test("a kept connection that turns out to be closed is replaced, as long as nothing may have been sent", async () => {
    const gate: { open?: Promise<void> } = {};
    const write = async (writes: Write[]) => {
      await gate.open;
      return stage.store.write(writes);
    };
    const other = await stage.start({ broker: stage.frames.client, store: { ...stage.store, write } });
    const ask = () => send(other.address, "GET", "/v1/use/stripe/v1/me", { token: stage.token() });
    expect((await ask()).status).toBe(200);
    const closed = Promise.withResolvers<void>();
    gate.open = closed.promise;
    const calls: string[] = [];
    stage.frames.serve = async (served) => {
      calls.push(served.call.id);
      if (calls.length === 1) return void served.request.socket.destroy();
      closed.resolve();
      await echo(served);
    };
    expect((await ask()).status).toBe(200);
    expect(calls.length).toBe(2);
    expect(calls[0]).toBe(calls[1]);
    await other.close();
  });
});

test("without a receipt nothing is sent", async () => {
  const write = () => Promise.reject(new StoreUnavailableError("away"));
  const other = await stage.start({ broker: stage.frames.client, store: { ...stage.store, write } });
  const seen: unknown[] = [];
  stage.frames.serve = async ({ go }) => {
    seen.push(await go());
  };
  const answer = await send(other.address, "GET", "/v1/use/stripe/v1/me", { token: stage.token() });
  expect(answer).toMatchObject({ status: 503, json: { code: "receipts_unavailable" } });
  await expect.poll(() => seen).toEqual([undefined]);
  await other.close();
});

describe("a caller who goes", () => {
  const leave = async (path: string, after: (sent: ReturnType<typeof httpRequest>) => Promise<unknown>) => {
    const { hostname, port } = new URL(stage.intake.address);
    const sent = httpRequest({
      ...{ hostname, port, path, method: "POST" },
      headers: {
        authorization: `Bearer ${stage.token("writer")}`,
        ...{ "content-type": "application/octet-stream", "transfer-encoding": "chunked" },
      },
    });
    sent.on("error", () => {});
    await after(sent);
    sent.destroy();
  };

  test("while the destination is awaited: the call ends at the broker, and the receipt says so", async () => {
    const [reached, ended] = [Promise.withResolvers<string>(), Promise.withResolvers<void>()];
    stage.frames.serve = async ({ call, go, body, response }) => {
      response.once("close", ended.resolve);
      await go();
      for await (const _ of body());
      reached.resolve(call.id);
    };
    await leave("/v1/use/stripe/v1/slow", async (sent) => {
      sent.end("all of it");
      await reached.promise;
    });
    await ended.promise;
    const [, completion] = await stage.receipts(await reached.promise);
    expect(completion).toMatchObject({ outcome: "cancelled" });
  });

  test("while it sends its body: no end of the body reaches the broker", async () => {
    const [reached, ended] = [Promise.withResolvers<string>(), Promise.withResolvers<unknown>()];
    stage.frames.serve = async ({ call, go, body }) => {
      await go();
      try {
        for await (const _ of body()) reached.resolve(call.id);
        ended.resolve("whole");
      } catch (error) {
        ended.resolve(error);
      }
    };
    await leave("/v1/use/stripe/v1/slow", async (sent) => {
      sent.write("a part");
      await reached.promise;
    });
    expect(await ended.promise).toBeInstanceOf(Error);
    const [, completion] = await stage.receipts(await reached.promise);
    expect(completion).toMatchObject({ outcome: "cancelled" });
  });
});

test("a caller who does not read holds back the broker", async () => {
  let written = 0;
  const stuck = Promise.withResolvers<void>();
  stage.frames.serve = async ({ go, head, data, response }) => {
    await go();
    head();
    const part = Buffer.alloc(256 * 1024);
    setTimeout(stuck.resolve, 1_500);
    while (written < 256 * 1024 * 1024 && !response.destroyed) {
      await data(part);
      written += part.length;
    }
  };
  const { hostname, port } = new URL(stage.intake.address);
  const sent = httpRequest({
    ...{ hostname, port, path: "/v1/use/stripe/v1/big", agent: false },
    headers: { authorization: `Bearer ${stage.token()}` },
  });
  sent.end();
  const [response] = await once(sent, "response");
  response.pause();
  await stuck.promise;
  // What the kernel and the streams hold between the two, not the whole.
  expect(written).toBeLessThan(48 * 1024 * 1024);
  sent.destroy();
});

test("64 MiB go both ways, whole", async () => {
  const size = 64 * 1024 * 1024;
  stage.frames.serve = async ({ go, head, body, data, end }) => {
    await go();
    head();
    const hash = createHash("sha256");
    let sentBytes = 0;
    for await (const part of body()) {
      hash.update(part);
      sentBytes += part.length;
      await data(part);
    }
    end({ sentBytes, bodyDigest: hash.digest("base64url") });
  };
  const body = Buffer.alloc(size, "strongroom");
  const answer = await stage.send("POST", "/v1/use/stripe/v1/big", {
    ...{ body, headers: { "content-type": "application/octet-stream" } },
  });
  expect(answer.text.length).toBe(size);
  const [, completion] = await stage.receipts(answer.headers["strongroom-receipt"] as string);
  expect(completion).toMatchObject({ bodyDigest: digest(body), sentBytes: size });
});

test("calls in hand are bounded, of a credential and of an organization", async () => {
  const uses = { ofOrg: 3, ofCredential: 2, mostBodyBytes: 1_000 };
  const limited = await stage.start({ broker: stage.frames.client, uses });
  await stage.put("other");
  const release = Promise.withResolvers<void>();
  const inHand: string[] = [];
  stage.frames.serve = async (served) => {
    inHand.push(served.call.id);
    await release.promise;
    await echo(served);
  };
  const ask = (name: string) =>
    send(limited.address, "GET", `/v1/use/${name}/v1/me`, { token: stage.token() });
  const held = [ask("stripe"), ask("stripe")];
  await expect.poll(() => inHand.length).toBe(2);
  expect(await ask("stripe")).toMatchObject({ status: 429, json: { code: "too_many_requests" } });
  held.push(ask("other"));
  await expect.poll(() => inHand.length).toBe(3);
  const refused = await ask("other");
  expect(refused).toMatchObject({ status: 429 });
  expect(refused.headers["retry-after"]).toBeDefined();
  release.resolve();
  for (const answer of await Promise.all(held)) expect(answer.status).toBe(200);
  expect((await ask("stripe")).status).toBe(200);
  await limited.close();
});

test("nothing of the token or the value is in the log", () => {
  const log = stage.log.join("");
  for (const secret of ["canary", stage.token("writer").slice(0, 60)]) expect(log).not.toContain(secret);
});

test("a token that the broker needs first is obtained, and the request sent again with a receipt of its own", async () => {
  await stage.put(
    "granted",
    {},
    {
      inject: { token: { header: "Authorization", format: "Bearer {}" } },
      grant: {
        ...{ type: "client_credentials", endpoint: "https://login.example.com/token", clientId: "c" },
        ...{ clientAuth: "basic", scopes: ["read"], who: { level: "reader" }, lifetimeSeconds: 600 },
      },
    },
  );
  const asked: string[] = [];
  stage.frames.operate = (operation) => {
    asked.push(operation);
    const expiresAt = new Date(Date.now() + 600_000).toISOString();
    return { status: 200, json: { state: "held", type: "bearer", expiresAt, scopes: ["read"] } };
  };
  stage.frames.serve = async (served) => {
    if (asked.length === 0) served.failed("token_needed");
    else await echo(served);
  };
  const answer = await stage.send("POST", "/v1/use/granted/v1/things", {
    ...{ body: '{"a":1}', headers: { "content-type": "application/json" } },
  });
  expect(answer).toMatchObject({ status: 200, text: '{"a":1}' });
  expect(asked).toEqual(["token"]);
  expect(stage.frames.calls.length).toBe(2);
  const [first, second] = stage.frames.calls.map(({ id }) => id);
  expect(answer.headers["strongroom-receipt"]).toBe(second);
  expect((await stage.receipts(first))[1]).toMatchObject({ outcome: "not_sent", failure: "token_needed" });
  expect((await stage.receipts(second))[1]).toMatchObject({ outcome: "answered" });
});

test("a body must come within its time, unless it is streamed and goes on", async () => {
  const { hostname, port } = new URL(stage.intake.address);
  const head = (line: string) =>
    `${line} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${stage.token("writer")}\r\nContent-Type: application/json\r\n`;
  const job = connect({ host: hostname, port: Number(port) });
  job.write(`${head("POST /v1/jobs")}Content-Length: 20\r\n\r\n{`);
  const ended = once(job, "close");
  let answer = "";
  job.setEncoding("utf8").on("data", (text: string) => {
    answer += text;
  });
  const use = connect({ host: hostname, port: Number(port) });
  use.write(`${head("POST /v1/use/stripe/v1/slow")}Transfer-Encoding: chunked\r\n\r\n`);
  const began = performance.now();
  const writing = setInterval(() => use.write("1\r\nx\r\n"), 1_000);
  await ended;
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  expect(performance.now() - began).toBeGreaterThan(13_000);
  // Past that time, the streamed one still goes on to its end.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  clearInterval(writing);
  const streamed = once(use.setEncoding("utf8"), "data");
  use.write("0\r\n\r\n");
  const [text] = (await streamed) as [string];
  expect(text).toMatch(/^HTTP\/1\.1 200 [\s\S]*x{10}/);
  use.destroy();
});
