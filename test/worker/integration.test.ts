import { randomBytes } from "node:crypto";
import { beforeEach, describe, expect } from "vitest";
import { newSealingKeyId } from "../../services/intake/ids.ts";
import type { KeyProvider } from "../../services/shared/envelope/key-provider.ts";
import { makeSealingKeyPair, openResult, sealValue } from "../../services/shared/envelope/sealing.ts";
import { newOrgId } from "../../services/shared/org.ts";
import type { DestinationPolicy } from "../../services/shared/work/destination.ts";
import type { DestinationRequest, IntegrationMessage, Outcome } from "../../services/shared/work/messages.ts";
import { integrationWork } from "../../services/worker/integration.ts";
import { createExchange } from "../../services/worker/outbound/exchange.ts";
import { exceptionFor, headerPolicy, Jobs, keysOf, originOf } from "../harness/credential-jobs.ts";
import { test } from "../harness/fixtures.ts";
import type { Recorder } from "../harness/recorder.ts";

const SECRET = "sk_live_1m9/Zp+tiger&42";

let destination: Recorder;
let jobs: Jobs;
let policy: DestinationPolicy;
let perform: (message: IntegrationMessage) => Promise<Outcome>;
let workerKeys: KeyProvider;
test.beforeAll(({ recordedOrg: { internal, recorder } }) => {
  destination = recorder;
  policy = headerPolicy(originOf(recorder));
  jobs = new Jobs(keysOf(internal, "intake", "integration"), "integration");
  workerKeys = keysOf(internal, "worker-integration", "integration");
  const exception = exceptionFor(recorder, internal.ca);
  const exchange = createExchange({ privateDestinations: new Map([[exception.origin, exception]]) });
  const work = integrationWork(workerKeys, exchange);
  perform = (message) => work.perform(message, { signal: new AbortController().signal, reached: () => {} });
});
beforeEach(() => {
  destination.clear();
  destination.answer = undefined;
});

const bodyOf = (outcome: Outcome): string => {
  if (outcome.state !== "answered") throw new Error(`the job ended ${JSON.stringify(outcome)}`);
  return Buffer.from(outcome.body, "base64").toString();
};

describe("a request", () => {
  test("is sent with the credential, the job's id and nothing that the caller did not ask for", async () => {
    const message = await jobs.request(SECRET, policy, {
      method: "POST",
      path: "/v1/charges?expand[]=customer",
      headers: { "Content-Type": "application/json", "X-Trace": "abc" },
      body: Buffer.from('{"amount":5}').toString("base64"),
    });
    destination.answer = (_, response) => response.writeHead(201, { "X-Id": "ch_1" }).end("created");
    const outcome = await perform(message);
    expect(outcome).toMatchObject({ state: "answered", status: 201, scrubbed: 0 });
    expect(bodyOf(outcome)).toBe("created");
    expect(destination.requests).toEqual([
      {
        method: "POST",
        url: "/v1/charges?expand[]=customer",
        body: '{"amount":5}',
        headers: {
          host: new URL(policy.origin).host,
          connection: "close",
          "content-type": "application/json",
          "x-trace": "abc",
          authorization: `Bearer ${SECRET}`,
          "idempotency-key": message.job,
          "accept-encoding": "identity",
          "content-length": "12",
        },
      },
    ]);
  });

  test("of a method with a body, without one, says so by its length", async () => {
    await perform(await jobs.request(SECRET, policy, { method: "POST", path: "/v1/charges" }));
    expect(destination.requests[0]?.headers).toMatchObject({ "content-length": "0" });
    expect(destination.requests[0]?.headers).not.toHaveProperty("transfer-encoding");
  });

  test("whose credential a client has sealed", async () => {
    const key = newSealingKeyId();
    const made = await perform({
      ...{ type: "make-sealing-key", key, org: jobs.org, attempt: 1, notAfter: 4_000_000_000 },
      job: (await jobs.request(SECRET, policy)).job,
    });
    if (made.state !== "key-made") throw new Error(JSON.stringify(made));
    const publicKey = new Uint8Array(Buffer.from(made.publicKey, "base64url"));
    const context = { ...jobs.context(policy), key };
    const sealed = await sealValue(publicKey, context, new TextEncoder().encode(SECRET));
    const message = await jobs.request("unused", policy);
    const outcome = await perform({ ...message, material: { sealed, privateKey: made.privateKey } });
    expect(outcome).toMatchObject({ state: "answered", status: 200 });
    expect(destination.requests[0]?.headers.authorization).toBe(`Bearer ${SECRET}`);
  });

  test("whose answer is sealed to the caller's key", async () => {
    const { publicKey, privateKey } = await makeSealingKeyPair();
    const sealResultTo = Buffer.from(publicKey).toString("base64url");
    const message = await jobs.request(SECRET, policy, undefined, { sealResultTo });
    destination.answer = ({ headers }, response) => response.end(headers.authorization);
    const outcome = await perform(message);
    if (outcome.state !== "sealed") throw new Error(JSON.stringify(outcome));
    const opened = await openResult(privateKey, { org: jobs.org, job: message.job }, outcome);
    const answer = JSON.parse(Buffer.from(opened).toString()) as Outcome;
    expect(answer).toMatchObject({ state: "answered", status: 200, scrubbed: 1 });
    expect(bodyOf(answer)).toBe("[removed]");
  });

  test("with a result key that is no point is not sent", async () => {
    const sealResultTo = Buffer.from(new Uint8Array(65)).toString("base64url");
    const message = await jobs.request(SECRET, policy, undefined, { sealResultTo });
    await expect(perform(message)).rejects.toMatchObject({ failure: "request_not_allowed" });
    expect(destination.connections).toBe(0);
  });
});

describe("an answer", () => {
  test("that echoes the credential in every place comes back without it", async () => {
    const basic = Buffer.from(`user:${SECRET}`).toString("base64");
    destination.answer = ({ headers }, response) => {
      response.writeHead(302, SECRET.replaceAll("/", ""), {
        Location: `https://elsewhere.example/?t=${encodeURIComponent(SECRET)}`,
        "Set-Cookie": `session=${SECRET}`,
        "X-Echo": headers.authorization,
      });
      // In pieces, so that the secret lies across their borders.
      const text = JSON.stringify({ headers, basic, hex: Buffer.from(SECRET).toString("hex") });
      for (let at = 0; at < text.length; at += 7) response.write(text.slice(at, at + 7));
      response.end();
    };
    const outcome = await perform(await jobs.request(SECRET, policy));
    expect(outcome).toMatchObject({ state: "answered", status: 302, scrubbed: 5 });
    expect(JSON.stringify(outcome)).not.toContain("session");
    const body = bodyOf(outcome);
    expect(JSON.parse(body)).toMatchObject({ headers: { authorization: "[removed]" }, hex: "[removed]" });
    for (const form of [SECRET, encodeURIComponent(SECRET), basic.slice(8, -2)]) {
      expect(body + JSON.stringify(outcome)).not.toContain(form);
    }
  });

  test("of 256 KiB is returned, a longer one is not", async () => {
    destination.answer = (_, response) => response.end(Buffer.alloc(262_144, "x"));
    expect(bodyOf(await perform(await jobs.request(SECRET, policy)))).toHaveLength(262_144);
    destination.answer = (_, response) => response.end(Buffer.alloc(262_145, "x"));
    await expect(perform(await jobs.request(SECRET, policy))).rejects.toMatchObject({
      failure: "answer_too_large",
    });
  });

  test("in a content coding is refused", async () => {
    destination.answer = (_, response) => response.writeHead(200, { "Content-Encoding": "gzip" }).end("x");
    await expect(perform(await jobs.request(SECRET, policy))).rejects.toMatchObject({
      failure: "answer_not_scrubbable",
    });
  });
});

describe("basic authentication", () => {
  test("name and password are removed, each in clear", async () => {
    const basic = { header: "Authorization", format: "Basic {}" };
    const basicPolicy = headerPolicy(policy.origin, { inject: basic });
    const credential = Buffer.from("acme-user:correct-horse").toString("base64");
    destination.answer = ({ headers }, response) =>
      response.end(`${headers.authorization} acme-user:correct-horse correct-horse`);
    const outcome = await perform(await jobs.request(credential, basicPolicy));
    expect(bodyOf(outcome)).toBe("[removed] [removed] [removed]");
  });
});

const REFUSED: [string, DestinationRequest][] = [
  ["another method", { method: "DELETE", path: "/v1/charges" }],
  ["another path", { method: "GET", path: "/v2/charges" }],
  ["a dot segment", { method: "GET", path: "/v1/../admin" }],
  ["an encoded dot segment", { method: "GET", path: "/v1/%2e%2E/admin" }],
  ["an encoded slash", { method: "GET", path: "/v1/a%2fb" }],
  ["a backslash", { method: "GET", path: "/v1/..\\admin" }],
  ["an empty segment", { method: "GET", path: "//v1/charges" }],
  ["a header of the credential", { method: "GET", path: "/v1/a", headers: { authorization: "x" } }],
  ["a host", { method: "GET", path: "/v1/a", headers: { Host: "elsewhere.example" } }],
  ["a connection header", { method: "GET", path: "/v1/a", headers: { Connection: "authorization" } }],
  ["a framing header", { method: "POST", path: "/v1/a", headers: { "Transfer-Encoding": "chunked" } }],
  ["a length", { method: "POST", path: "/v1/a", headers: { "Content-Length": "0" } }],
  ["a cookie", { method: "GET", path: "/v1/a", headers: { cookie: "a=b" } }],
  ["a proxy's header", { method: "GET", path: "/v1/a", headers: { "Proxy-Authorization": "x" } }],
  ["an idempotency key", { method: "GET", path: "/v1/a", headers: { "idempotency-key": "x" } }],
  ["a range, piece by piece", { method: "GET", path: "/v1/a", headers: { Range: "bytes=0-3" } }],
  [
    "another method by a header",
    { method: "POST", path: "/v1/a", headers: { "X-HTTP-Method-Override": "PUT" } },
  ],
  ["a line break in a header", { method: "GET", path: "/v1/a", headers: { "X-A": "a\r\nHost: b" } }],
  ["a header twice", { method: "GET", path: "/v1/a", headers: { "X-A": "1", "x-a": "2" } }],
  ["a body of GET", { method: "GET", path: "/v1/a", body: "eA==" }],
];
describe("a request is refused before the credential is opened and nothing connects", () => {
  test.each(REFUSED)("%s", async (_, request) => {
    await expect(perform(await jobs.request(SECRET, policy, request))).rejects.toMatchObject({
      failure: "request_not_allowed",
    });
    expect(destination.connections).toBe(0);
  });
});

describe("material opens for what it was sealed for alone", () => {
  const refuse = async (message: IntegrationMessage) => {
    await expect(perform(message)).rejects.toMatchObject({ name: "EnvelopeRefused" });
    expect(destination.connections).toBe(0);
  };

  test("another organization", async () => {
    await refuse({ ...(await jobs.request(SECRET, policy)), org: newOrgId() });
  });
  test("another version", async () => {
    await refuse({ ...(await jobs.request(SECRET, policy)), version: 2 });
  });
  test("another credential", async () => {
    await refuse({ ...(await jobs.request(SECRET, policy)), credential: "other" });
  });
  test("another policy: each member", async () => {
    const changes: Partial<DestinationPolicy>[] = [
      { origin: "https://evil.example" },
      { methods: ["GET", "POST", "DELETE"] },
      { paths: ["/**"] },
      { inject: { header: "X-Key", format: "Bearer {}" } },
      { inject: { header: "Authorization", format: "{}" } },
    ];
    for (const change of changes) {
      await refuse({ ...(await jobs.request(SECRET, policy)), policy: { ...policy, ...change } });
    }
  });
  test("another job's request", async () => {
    const one = await jobs.request(SECRET, policy);
    await refuse({ ...(await jobs.request(SECRET, policy)), request: one.request });
  });
  test("another organization's envelope beside an own request", async () => {
    const own = await jobs.request(SECRET, policy);
    const other = await new Jobs(jobs.keys, "integration").request(SECRET, policy);
    await refuse({ ...own, material: other.material });
  });
  test("a damaged envelope", async () => {
    const own = await jobs.request(SECRET, policy);
    await refuse({ ...own, material: { envelope: randomBytes(300).toString("base64") } });
  });
});

describe("a credential that cannot be sent", () => {
  test.each([
    ["of 7 bytes", "1234567"],
    ["with a line break", "sk_live_1\r\nHost: evil.example"],
    ["with a letter beyond ASCII", "sk_live_ü_42"],
    ["too long for a header", "x".repeat(9_000)],
  ])("%s", async (_, value) => {
    await expect(perform(await jobs.request(value, policy))).rejects.toMatchObject({
      failure: "request_not_allowed",
    });
    expect(destination.connections).toBe(0);
  });

  test("a webhook's policy", async () => {
    const wrong = headerPolicy(policy.origin, { inject: { signature: "standard-webhooks" } });
    await expect(perform(await jobs.request(SECRET, wrong))).rejects.toMatchObject({
      failure: "policy_mismatch",
    });
  });
});

test("rewrap: what it returns opens for the same context", async () => {
  const {
    request: _request,
    sealResultTo: _sealed,
    type: _type,
    ...use
  } = await jobs.request(SECRET, policy);
  const outcome = await perform({ ...use, type: "rewrap" });
  if (outcome.state !== "rewrapped") throw new Error(JSON.stringify(outcome));
  expect(outcome.envelope).not.toBe("envelope" in use.material && use.material.envelope);
  const message = await jobs.request("unused", policy);
  await perform({ ...message, material: { envelope: outcome.envelope } });
  expect(destination.requests[0]?.headers.authorization).toBe(`Bearer ${SECRET}`);
});
