import { createHash } from "node:crypto";
import { describe, expect, onTestFinished } from "vitest";
import { dataFrames, jsonFrame } from "../../../services/shared/broker/frames.ts";
import type { BrokerPolicy } from "../../../services/shared/broker/policy.ts";
import { type BrokerStage, readAnswer, startBrokerStage } from "../../harness/broker.ts";
import { test as base } from "../../harness/fixtures.ts";

const SECRET = "sk_live_tiger42";
const patience = { head: 1_000, idle: 1_000 };

const test = base.extend(
  "stage",
  { scope: "file" },
  async ({ internal }, { onCleanup }): Promise<BrokerStage> => {
    const stage = await startBrokerStage(internal, { changes: { patience } });
    onCleanup(stage.stop);
    return stage;
  },
);

test.beforeEach(({ stage }) => {
  stage.destination.clear();
  stage.destination.answer = undefined;
});

const text = (length: number) => Buffer.alloc(length, "0123456789abcdef");
const digestOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("base64url");

describe("a use", () => {
  test("sends the request with the credential, and passes the answer on", async ({ stage }) => {
    stage.destination.answer = (_, response) =>
      response.writeHead(201, { "Content-Type": "text/plain", "X-Own": "yes" }).end("made");
    const body = Buffer.from('{"amount":1}');
    const answer = await stage.use({
      ...{ method: "POST", path: "/v1/charges?q=a%20b", body },
      headers: [
        ["Content-Type", "application/json; charset=utf-8"],
        ["Idempotency-Key", "once"],
        ["X-Trace", "1"],
        ["X-Trace", "2"],
      ],
    });
    expect(answer.failed).toBeUndefined();
    expect(answer.head).toMatchObject({ status: 201 });
    expect(answer.head?.headers).toContainEqual(["X-Own", "yes"]);
    expect(answer.body.toString()).toBe("made");
    expect(answer.end).toEqual({
      ...{ sentBytes: body.length, receivedBytes: 4, scrubbed: 0, bodyDigest: digestOf(body) },
    });
    expect(stage.destination.effects).toMatchObject([{ method: "POST", url: "/v1/charges?q=a%20b", body }]);
    expect(stage.destination.effects[0]?.headers).toEqual({
      host: new URL(stage.destination.origin).host,
      authorization: `Bearer ${SECRET}`,
      "accept-encoding": "identity",
      "content-type": "application/json; charset=utf-8",
      "idempotency-key": "once",
      "x-trace": "1, 2",
      "content-length": String(body.length),
      connection: "keep-alive",
    });
  });

  test("takes bodies of unknown length, and methods without a body", async ({ stage }) => {
    const body = text(300_000);
    const headers: [string, string][] = [["Content-Type", "text/plain"]];
    const sent = await stage.use({ method: "PUT", body, chunked: true, headers });
    expect(sent.end).toMatchObject({ sentBytes: body.length, bodyDigest: digestOf(body) });
    expect(stage.destination.effects[0]?.body.equals(body)).toBe(true);
    expect(stage.destination.effects[0]?.headers["transfer-encoding"]).toBe("chunked");
    for (const method of ["GET", "HEAD", "POST", "DELETE"] as const) {
      const answer = await stage.use({ method });
      expect(answer, method).toMatchObject({ head: { status: 200 }, end: { sentBytes: 0 } });
    }
    expect(stage.destination.effects.map(({ headers }) => headers["content-length"])).toEqual([
      ...[undefined, undefined, undefined, "0", undefined],
    ]);
  });

  test("removes the credential from the answer, and counts it", async ({ stage }) => {
    stage.destination.answer = ({ headers }, response) =>
      response.writeHead(200, { "X-Echo": headers.authorization }).end(JSON.stringify({ headers }));
    const answer = await stage.use();
    expect(answer.end?.scrubbed).toBeGreaterThanOrEqual(2);
    expect(JSON.stringify(answer.head) + answer.body).not.toContain("tiger");
    expect(stage.log.join()).not.toContain("tiger");
  });

  test("keeps connections of one credential, and shares them with no other", async ({ stage }) => {
    const name = "keeping";
    for (let count = 0; count < 3; count++) await stage.use({ name });
    expect(stage.destination.connections).toBe(1);
    await stage.use({ name: "keeping-too" });
    expect(stage.destination.connections).toBe(2);
    await stage.use({ name, claim: "org_globex" });
    expect(stage.destination.connections).toBe(3);
    await stage.use({ name });
    expect(stage.destination.connections).toBe(3);
    const both = await Promise.all([stage.use({ name }), stage.use({ name })]);
    expect(both.map(({ head }) => head?.status)).toEqual([200, 200]);
    expect(stage.destination.connections).toBe(4);
  });
});

describe("is refused, and nothing is sent", () => {
  const refused = (stage: BrokerStage) => {
    expect(stage.destination.effects).toEqual([]);
  };

  test("with a token of another organization, of nobody, expired, or revoked", async ({ stage }) => {
    const { issuer, orgs } = stage;
    const acme = orgs.org_acme as string;
    const cases: [string, Parameters<BrokerStage["use"]>[0], string][] = [
      ["another's", { token: stage.token("org_globex"), org: acme }, "forbidden"],
      ["of no organization", { token: stage.token("org_nobody"), org: acme }, "forbidden"],
      ["no JWT", { token: "hvs.CAESI" }, "unauthenticated"],
      ["expired", { token: stage.token("org_acme", ["writer"], { iat: 1, exp: 2 }) }, "unauthenticated"],
      ["of a right alone", { token: stage.token("org_acme", ["auditor"]) }, "forbidden"],
    ];
    for (const [name, options, failure] of cases) {
      // What a taken-over intake would have a receipt say.
      const answer = await stage.use({ ...options, noGo: true });
      expect(answer.failed, name).toMatchObject({ failure, isSent: false });
      expect(answer.head, name).toBeUndefined();
    }
    const good = stage.token("org_acme", ["writer"], { jti: "stolen", sub: "u9" });
    expect((await stage.use({ token: good })).head?.status).toBe(200);
    stage.destination.clear();
    const ends = Math.floor(Date.now() / 1000) + 3600;
    await stage.revoke([
      { issuer: issuer.issuer.issuer, claim: "org_acme", revocations: [{ tokenId: "stolen", ends }] },
    ]);
    await expect
      .poll(async () => {
        stage.destination.clear();
        return (await stage.use({ token: good })).failed?.failure;
      })
      .toBe("unauthenticated");
    refused(stage);
  });

  test("if no rule allows it, with the part that none allows", async ({ stage }) => {
    const [rule] = stage.policy().rules as [BrokerPolicy["rules"][number]];
    const admins = stage.policy({ rules: [{ ...rule, who: { level: "admin" } }] });
    const post = { method: "POST" as const, body: Buffer.from("x") };
    const cases: [string, Parameters<BrokerStage["use"]>[0]][] = [
      ["who", { policy: admins }],
      ["who", { token: stage.token("org_acme", []) }],
      ["path", { path: "/v2/charges" }],
      ["path", { path: "/v1/../v2" }],
      ["path", { path: "/v1/%2e%2e/v2" }],
      ["path", { path: "/v1//a" }],
      ["path", { path: "//evil.example/v1" }],
      ["path", { path: "/v1/a?q=<" }],
      ["query", { path: "/v1/a?admin=1" }],
      ["query", { path: "/v1/a?q=1;admin=1" }],
      ["query", { path: "/v1/a?%71x=1" }],
      ["method", { policy: stage.policy({ rules: [{ ...rule, methods: ["POST"] }] }) }],
      ["method", { body: Buffer.from("x") }],
      ["content_type", { ...post }],
      ["content_type", { ...post, headers: [["Content-Type", "multipart/form-data; boundary=x"]] }],
      ["inUrl", { policy: stage.policy({ inject: { query: "key" } }) }],
      ["headers", { headers: [["authorization", "Basic x"]] }],
      ["headers", { headers: [["Cookie", "a=b"]] }],
      ["headers", { headers: [["Transfer-Encoding", "chunked"]] }],
      ["headers", { headers: [["Host", "evil.example"]] }],
      ["headers", { headers: [["X-HTTP-Method-Override", "DELETE"]] }],
      ["headers", { headers: [["X-A", "a\r\nX-B: b"]] }],
      ["headers", { headers: [["X_A", "a"]] }],
      [
        "headers",
        {
          ...post,
          headers: [
            ["Content-Type", "text/plain"],
            ["content-type", "text/html"],
          ],
        },
      ],
    ];
    for (const [part, options] of cases) {
      const answer = await stage.use(options);
      expect(answer.failed, `${part} ${JSON.stringify(options)}`).toMatchObject({
        ...{ failure: "not_allowed", part, isSent: false },
      });
    }
    refused(stage);
    expect(stage.destination.connections).toBe(0);
  });

  test("if the value was not sealed for this", async ({ stage }) => {
    const policy = stage.policy();
    const own = await stage.seal(SECRET, policy);
    const wider = stage.policy({ rules: policy.rules.map((rule) => ({ ...rule, query: ["q", "x"] })) });
    const cases: Parameters<BrokerStage["use"]>[0][] = [
      { material: own, policy: wider },
      { material: own, version: 2 },
      { material: own, name: "other" },
      { material: own, claim: "org_globex" },
      { material: { envelope: Buffer.from("no envelope").toString("base64") } },
    ];
    for (const options of cases) {
      expect((await stage.use(options)).failed).toMatchObject({ failure: "not_openable", isSent: false });
    }
    refused(stage);
  });

  test("before it was let go, and by a receipt that does not describe it", async ({ stage }) => {
    const { origin } = stage.destination;
    const by = { issuer: stage.issuer.issuer.issuer, subject: "u1", level: "writer" } as const;
    const intents: Parameters<BrokerStage["use"]>[0][] = [
      { intent: { id: "another" } },
      { intent: { action: "token" } },
      { intent: { by: { ...by, subject: "u2" } } },
      { intent: { by: { ...by, level: "admin" } } },
      { intent: { by: { ...by, issuer: "https://other.example" } } },
      { intent: { by: { schedule: "nightly" } } },
      { intent: { credential: "other" } },
      { intent: { version: 2 } },
      { intent: { host: "api.example.com" } },
      { intent: { host: new URL(origin).hostname } },
      { intent: { method: "POST" } },
      { intent: { pathPattern: "/v1/charges" } },
      { intent: { rule: "other" } },
      { intent: { inUrl: true } },
      { intent: { scopes: ["all"] } },
      { intent: { bodyDigest: "A".repeat(43) } },
    ];
    for (const options of intents) {
      const answer = await stage.use(options);
      expect(answer.failed, JSON.stringify(options)).toMatchObject({
        ...{ failure: "receipt_mismatch", isSent: false },
      });
    }
    const call = await stage.call();
    const { entry, hash } = stage.receipt(call);
    const completion = {
      ...{ type: "completion", sequence: 2, at: entry.at, of: 1, id: call.id, outcome: "answered" },
      ...{ sentBytes: 0, receivedBytes: 0, ms: 0, scrubbed: 0 },
    };
    for (const go of [{}, { receipt: { entry } }, { receipt: { entry: completion, hash } }, []]) {
      const request = stage.open();
      request.write(jsonFrame("call", call));
      request.end(jsonFrame("go", go));
      const { failed } = await readAnswer(request);
      expect(["malformed", "receipt_mismatch"]).toContain(failed?.failure);
      expect(failed?.isSent).toBe(false);
    }
    const ended = await stage.use({ noGo: true });
    expect(ended.failed).toMatchObject({ failure: "malformed", isSent: false });
    refused(stage);
  });

  test("while it waits for the receipt", async ({ stage }) => {
    const call = await stage.call({ name: "waiting" });
    const request = stage.open();
    const answer = readAnswer(request);
    request.write(jsonFrame("call", call));
    await expect.poll(() => stage.destination.connections).toBe(1);
    refused(stage);
    request.end(jsonFrame("go", { receipt: stage.receipt(call) }));
    expect((await answer).head?.status).toBe(200);
    expect(stage.destination.effects).toHaveLength(1);
  });

  test("with a body whose digest is another, or whose length is", async ({ stage }) => {
    const body = Buffer.from("twelve bytes");
    const headers: [string, string][] = [["Content-Type", "text/plain"]];
    const post = { method: "POST" as const, body, headers };
    const good = await stage.use({ ...post, intent: { bodyDigest: digestOf(body) } });
    expect(good.end).toMatchObject({ sentBytes: body.length, bodyDigest: digestOf(body) });
    stage.destination.clear();
    const other = await stage.use({ ...post, intent: { bodyDigest: digestOf(Buffer.from("other")) } });
    expect(other.failed).toMatchObject({ failure: "receipt_mismatch", isSent: false });
    refused(stage);
    for (const bytes of [body.length + 1, body.length - 1]) {
      const request = { method: "POST", path: "/v1/a", headers, body: { bytes } };
      const answer = await stage.use({ ...post, call: { request } });
      expect(answer.failed).toMatchObject({ failure: "malformed", isSent: true });
    }
    refused(stage);
    const long = text(1_048_577);
    const tooLong = await stage.use({ ...post, body: long, intent: { bodyDigest: digestOf(long) } });
    expect(tooLong.failed).toMatchObject({ failure: "not_allowed", part: "body", isSent: false });
    refused(stage);
  });

  test("if the call is none", async ({ stage }) => {
    const call = await stage.call();
    const frames = [
      jsonFrame("call", {}),
      jsonFrame("call", { ...call, more: true }),
      jsonFrame("go", { receipt: stage.receipt(call) }),
      Buffer.from("GET / HTTP/1.1\r\n\r\n"),
      Buffer.from([1, 255, 255, 255, 255]),
      Buffer.from([1, 0, 0, 0, 9, 1]),
      Buffer.alloc(0),
    ];
    for (const frame of frames) {
      const request = stage.open();
      request.end(frame);
      expect((await readAnswer(request)).failed).toMatchObject({ failure: "malformed", isSent: false });
    }
    refused(stage);
  });
});

describe("limits", () => {
  const withRate = (stage: BrokerStage, perMinute: number) =>
    stage.policy({ rules: stage.policy().rules.map((rule) => ({ ...rule, rate: { perMinute } })) });

  test("a rule's rate is for all callers together", async ({ stage }) => {
    const policy = withRate(stage, 3);
    for (const subject of ["a", "b", "c"]) {
      const token = stage.token("org_acme", ["writer"], { sub: subject });
      expect((await stage.use({ policy, name: "rated", token })).head?.status).toBe(200);
    }
    const limited = await stage.use({ policy, name: "rated" });
    expect(limited.failed).toMatchObject({ failure: "rate_limited", isSent: false });
    expect(limited.failed?.retryAfterSeconds).toBeLessThanOrEqual(20);
    expect((await stage.use({ policy, name: "rated", claim: "org_globex" })).head?.status).toBe(200);
    expect((await stage.use({ policy, name: "also-rated" })).head?.status).toBe(200);
  });

  test("a call for which a token must be obtained first is not counted", async ({ stage }) => {
    const grant: BrokerPolicy["grant"] = {
      ...{ type: "client_credentials", endpoint: `${stage.destination.origin}/token`, clientId: "app" },
      ...{ clientAuth: "basic", scopes: [], who: { level: "reader" }, lifetimeSeconds: 600 },
    };
    const inject = { token: { header: "Authorization", format: "Bearer {}" } };
    const policy = { ...withRate(stage, 1), inject, grant };
    for (let calls = 0; calls < 2; calls++) {
      const { failed } = await stage.use({ policy, name: "rated-token" });
      expect(failed).toMatchObject({ failure: "token_needed", isSent: false });
    }
  });

  test("a credential has so many requests at once", async ({ stage }) => {
    const policy = stage.policy({ concurrency: 2 });
    const answers: (() => void)[] = [];
    stage.destination.answer = (_, response) => void answers.push(() => response.end("{}"));
    const first = [stage.use({ policy }), stage.use({ policy })];
    await expect.poll(() => answers).toHaveLength(2);
    expect((await stage.use({ policy })).failed).toMatchObject({ failure: "rate_limited" });
    for (const answer of answers) answer();
    expect((await Promise.all(first)).map(({ head }) => head?.status)).toEqual([200, 200]);
    stage.destination.answer = undefined;
    expect((await stage.use({ policy })).head?.status).toBe(200);
  });

  test("a destination that cannot be connected to opens the circuit of its organization", async ({
    internal,
  }) => {
    const stage = await startBrokerStage(internal);
    onTestFinished(stage.stop);
    await stage.destination.down();
    for (let count = 0; count < 5; count++) {
      expect((await stage.use()).failed).toMatchObject({ failure: "unreachable", isSent: false });
    }
    const open = await stage.use();
    expect(open.failed).toMatchObject({ failure: "circuit_open", isSent: false });
    expect(open.failed?.retryAfterSeconds).toBeGreaterThanOrEqual(1);
    await stage.destination.up();
    expect((await stage.use({ claim: "org_globex" })).head?.status).toBe(200);
    await expect.poll(async () => (await stage.use()).head?.status).toBe(200);
  });
});

describe("a caller that goes", () => {
  test("before the answer, or in its middle: the request is destroyed at once", async ({ stage }) => {
    let ended = 0;
    stage.destination.answer = ({ url }, response) => {
      response.on("close", () => ended++);
      if (url === "/v1/stream") response.writeHead(200).write("first");
    };
    for (const path of ["/v1/hang", "/v1/stream"]) {
      const before = ended;
      const call = await stage.call({ path });
      const request = stage.open();
      const answer = readAnswer(request).catch((error) => error);
      request.write(jsonFrame("call", call));
      request.write(jsonFrame("go", { receipt: stage.receipt(call) }));
      await expect.poll(() => stage.destination.effects.at(-1)?.url).toBe(path);
      request.destroy();
      await answer;
      await expect.poll(() => ended).toBe(before + 1);
      await expect.poll(() => stage.log.at(-1)).toContain('"outcome":"cancelled"');
    }
  });

  test("within the body: nothing pretends to be its end", async ({ stage }) => {
    const call = await stage.call({
      ...{ method: "POST", body: text(1_000), chunked: true, headers: [["Content-Type", "text/plain"]] },
      name: "breaking",
    });
    const request = stage.open();
    request.on("error", () => {});
    request.write(jsonFrame("call", call));
    request.write(jsonFrame("go", { receipt: stage.receipt(call) }));
    for (const piece of dataFrames(text(500))) request.write(piece);
    await expect.poll(() => stage.destination.connections).toBe(1);
    request.destroy();
    await expect.poll(() => stage.log.at(-1)).toContain('"outcome":"cancelled"');
    expect(stage.destination.effects).toEqual([]);
  });
});

describe("a kept connection that turns out to be closed", () => {
  test("GET is sent once more, POST is not", async ({ stage }) => {
    const name = "closing";
    let isSilent = false;
    stage.destination.answer = (_, response) => {
      if (isSilent) response.socket?.destroy();
      else response.end("{}");
      isSilent = false;
    };
    await stage.use({ name });
    isSilent = true;
    expect((await stage.use({ name })).head?.status).toBe(200);
    expect(stage.destination.effects).toHaveLength(3);
    isSilent = true;
    const post = await stage.use({ name, method: "POST" });
    expect(post.failed).toMatchObject({ failure: "unreachable", isSent: true });
    expect(stage.destination.effects).toHaveLength(4);
    // A new connection is not tried twice.
    isSilent = true;
    const fresh = await stage.use({ name: "fresh" });
    expect(fresh.failed).toMatchObject({ failure: "unreachable", isSent: true });
    expect(stage.destination.effects).toHaveLength(5);
  });
});

describe("a slow destination", () => {
  test("that does not answer, or stands still in the middle", async ({ stage }) => {
    stage.destination.answer = () => {};
    const silent = await stage.use();
    expect(silent.failed).toMatchObject({ failure: "timeout", isSent: true });
    expect(silent.head).toBeUndefined();
    stage.destination.answer = (_, response) => {
      response.writeHead(200, { "Content-Length": "10" }).write("half");
    };
    const half = await stage.use();
    expect(half.head?.status).toBe(200);
    expect(half.failed).toMatchObject({ failure: "timeout", isSent: true });
  });
});
