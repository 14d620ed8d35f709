import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newWorkId } from "../../../services/intake/ids.ts";
import { open } from "../../../services/shared/envelope/envelope.ts";
import {
  makeSealingKeyPair,
  openResult,
  sealResult,
  toBase64Url,
} from "../../../services/shared/envelope/sealing.ts";
import { policyHash } from "../../../services/shared/work/destination.ts";
import type { Outcome } from "../../../services/shared/work/messages.ts";
import {
  answered,
  credentialBody,
  eventually,
  type IntakeStage,
  type Message,
  startIntakeStage,
  type TestIntake,
} from "../../harness/intake.ts";

let stage: IntakeStage;
let intake: TestIntake;
let seen: Message[];
/** What the stand-in worker reports; undefined: nothing. */
let outcome: (message: Message) => Outcome | undefined | Promise<Outcome | undefined>;
beforeAll(async () => {
  stage = await startIntakeStage();
  intake = await stage.start();
  seen = stage.answer("integration", (message) => outcome(message));
  for (const [name, level] of [
    ["mail", "writer"],
    ["open", "reader"],
    ["root", "admin"],
  ]) {
    await intake.call("PUT", `/v1/credentials/${name}`, {
      token: stage.token("admin"),
      body: credentialBody({ level }),
    });
  }
});
afterAll(() => stage.close());
beforeEach(() => {
  outcome = () => answered();
  seen.length = 0;
});

const use = (changes: object = {}) => ({
  credential: "mail",
  request: { method: "POST", path: "/v1/send", query: { a: "b c" }, body: { text: "hi" } },
  ...changes,
});
interface Submit {
  body?: unknown;
  headers?: Record<string, string>;
  token?: string;
}
const submit = ({ body = use(), headers = {}, token = stage.token("writer") }: Submit = {}) =>
  intake.call("POST", "/v1/jobs", { token, body, headers });
const finish = (options: Submit = {}) =>
  submit({ ...options, headers: { prefer: "wait=20", ...options.headers } });
const read = (id: string, query = "") =>
  intake.call("GET", `/v1/jobs/${id}${query}`, { token: stage.token("writer") });

test("a job uses a credential, and its answer comes back", async () => {
  const done = await finish();
  expect(done).toMatchObject({
    status: 200,
    json: {
      ...{ state: "succeeded", status: 200, attempt: 1, credential: "mail", version: 1, path: "/v1/send" },
      result: { answer: { status: 200, encoding: "utf8", body: "hello", scrubbed: 0 } },
    },
  });
  expect(done.headers.get("location")).toBe(`/v1/jobs/${done.json.id}`);
  expect((await read(done.json.id)).json).toEqual(done.json);

  const [message] = seen as [Message];
  const context = {
    ...{ org: stage.acme, credential: "mail", version: "1", purpose: "integration" as const },
    policy: policyHash(message.policy),
  };
  const value = await open(stage.keys.integration, context, Buffer.from(message.material.envelope, "base64"));
  expect(Buffer.from(value).toString()).toBe("sk-live-canary-0123456789");
  const sealed = Buffer.from(message.request, "base64");
  await expect(open(stage.keys.integration, context, sealed)).rejects.toThrow();
  const request = await open(stage.keys.integration, { ...context, job: message.job }, sealed);
  expect(JSON.parse(Buffer.from(request).toString())).toEqual({
    ...{ method: "POST", path: "/v1/send?a=b%20c" },
    body: Buffer.from("hi").toString("base64"),
  });
});

test("without waiting, 202 and where to look", async () => {
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  outcome = async () => {
    await held;
    return answered();
  };
  const accepted = await submit();
  expect(accepted).toMatchObject({ status: 202, json: { state: "queued" } });
  expect((await read(accepted.json.id)).json.result).toBeUndefined();
  const waited = await submit({ headers: { prefer: "wait=0" } });
  expect(waited).toMatchObject({ status: 202, json: { state: "queued" } });
  release();
  await eventually(async () => (await read(accepted.json.id)).json.state).toBe("succeeded");
});

test("a use is recorded with the credential, to the minute", async () => {
  await finish({ body: use({ credential: "open" }) });
  const shown = async () =>
    (await intake.call("GET", "/v1/credentials/open", { token: stage.token() })).json.lastUsedAt;
  await eventually(shown).toBeDefined();
  const first = await shown();
  await finish({ body: use({ credential: "open" }) });
  expect(await shown()).toBe(first);
});

test("the credential's level says who may use it and read what came of it", async () => {
  const tokens = { reader: stage.token(), writer: stage.token("writer"), admin: stage.token("admin") };
  const status = async (credential: string, token: string) =>
    (await submit({ body: use({ credential }), token })).status;
  expect(await status("open", tokens.reader)).toBe(202);
  expect(await status("mail", tokens.reader)).toBe(403);
  expect(await status("mail", tokens.writer)).toBe(202);
  expect(await status("root", tokens.writer)).toBe(403);
  const done = await finish({ body: use({ credential: "root" }), token: tokens.admin });
  expect(done.status).toBe(200);
  const refused = await intake.call("GET", `/v1/jobs/${done.json.id}`, { token: tokens.writer });
  expect(refused).toMatchObject({ status: 403, json: { code: "forbidden" } });
  expect(
    (await intake.call("GET", `/v1/jobs/${done.json.id}?result=omit`, { token: tokens.reader })).status,
  ).toBe(200);
});

describe("refused before anything is stored:", () => {
  const request = use().request;
  test.each([
    ["an unknown credential", { credential: "nothing" }, 404, "not_found"],
    [
      "a method outside the policy",
      { request: { ...request, method: "DELETE", body: undefined } },
      422,
      "invalid_value",
    ],
    ["a path outside the policy", { request: { ...request, path: "/v2/x" } }, 422, "invalid_value"],
    ["a path that climbs out", { request: { ...request, path: "/v1/../v2" } }, 422, "invalid_value"],
    [
      "a path that climbs out encoded",
      { request: { ...request, path: "/v1/%2e%2e/v2" } },
      422,
      "invalid_value",
    ],
    ["an encoded slash", { request: { ...request, path: "/v1/a%2fb" } }, 422, "invalid_value"],
    [
      "another origin as path",
      { request: { ...request, path: "//evil.example/v1/x" } },
      422,
      "invalid_value",
    ],
    ["a query in the path", { request: { ...request, path: "/v1/x?y" } }, 422, "invalid_value"],
    ["a fragment", { request: { ...request, path: "/v1/x#y" } }, 422, "invalid_value"],
    [
      "the header of the credential",
      { request: { ...request, headers: { authorization: "x" } } },
      422,
      "invalid_value",
    ],
    [
      "a framing header",
      { request: { ...request, headers: { "Transfer-Encoding": "chunked" } } },
      422,
      "invalid_value",
    ],
    ["the Host", { request: { ...request, headers: { host: "evil.example" } } }, 422, "invalid_value"],
    [
      "a header twice",
      { request: { ...request, headers: { "X-A": "1", "x-a": "2" } } },
      422,
      "invalid_value",
    ],
    [
      "a line break in a header",
      { request: { ...request, headers: { "X-A": "1\r\nHost: x" } } },
      400,
      "invalid_request",
    ],
    ["a body with GET", { request: { ...request, method: "GET" } }, 422, "invalid_value"],
    [
      "base64 with bits left over",
      { request: { ...request, body: { base64: "aGl=" } } },
      422,
      "invalid_value",
    ],
    [
      "a body of more than 128 KiB",
      { request: { ...request, body: { base64: "A".repeat(174_768) } } },
      413,
      "body_too_large",
    ],
    [
      "a text of more than 128 KiB",
      { request: { ...request, body: { text: "€".repeat(50_000) } } },
      413,
      "body_too_large",
    ],
    ["a key off the curve", { sealResultTo: `BA${"A".repeat(85)}` }, 422, "invalid_value"],
    ["a result kept for ever", { resultSeconds: 10 ** 9 }, 400, "invalid_request"],
    ["another member", { url: "https://evil.example" }, 400, "invalid_request"],
  ])("%s", async (_, changes, status, code) => {
    const answer = await submit({ body: use(changes) });
    expect(answer).toMatchObject({ status, json: { code } });
    if (status === 422) expect(answer.json.errors[0].pointer).toMatch(/^\/body\//);
    expect(seen).toEqual([]);
  });

  test("a disabled credential", async () => {
    const token = stage.token("admin");
    await intake.call("POST", "/v1/credentials/mail/disable", { token });
    expect(await submit()).toMatchObject({ status: 409, json: { code: "credential_disabled" } });
    await intake.call("POST", "/v1/credentials/mail/enable", { token });
    expect((await submit()).status).toBe(202);
  });
});

describe("an Idempotency-Key", () => {
  const key = (name: string) => ({ "idempotency-key": name });
  test("with the same request is the same job, once sent", async () => {
    const first = await finish({ headers: key("a") });
    const again = await finish({ headers: key("a") });
    expect(again.json.id).toBe(first.json.id);
    expect(seen).toHaveLength(1);
  });

  test("of ten at once, one makes the job", async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => finish({ headers: key("b") })));
    expect(new Set(answers.map(({ json }) => json.id)).size).toBe(1);
    expect(seen).toHaveLength(1);
  });

  test("with another request is a conflict; another person's is another key", async () => {
    const first = await submit({ headers: key("c") });
    expect(await submit({ headers: key("c"), body: use({ resultSeconds: 61 }) })).toMatchObject({
      status: 409,
    });
    const other = await submit({ headers: key("c"), token: stage.token("writer", "org_acme", "bob") });
    expect(other.status).toBe(202);
    expect(other.json.id).not.toBe(first.json.id);
  });
});

describe("a result", () => {
  test("that is not text is base64", async () => {
    const body = Buffer.from([0xff, 0xfe, 0]).toString("base64");
    outcome = () => ({ ...answered(), body }) as Outcome;
    expect((await finish()).json.result.answer).toMatchObject({ encoding: "base64", body });
  });

  test("is gone after its time, while the job stays", async () => {
    const done = await finish({ body: use({ resultSeconds: 60 }) });
    stage.clock.skip(61);
    expect(await read(done.json.id)).toMatchObject({ status: 410, json: { code: "result_gone" } });
    expect((await read(done.json.id, "?result=omit")).json).toMatchObject({
      state: "succeeded",
      status: 200,
    });
  });

  test("is sealed to the caller's key if it gives one, and otherwise refused", async () => {
    const pair = await makeSealingKeyPair();
    outcome = async ({ org, job, sealResultTo }) => {
      const plaintext = Buffer.from(JSON.stringify(answered(200, "for you alone")));
      const to = new Uint8Array(Buffer.from(sealResultTo, "base64url"));
      return { state: "sealed", ...(await sealResult(to, { org, job }, plaintext)) };
    };
    const done = await finish({ body: use({ sealResultTo: toBase64Url(pair.publicKey) }) });
    expect(done.json).toMatchObject({ state: "succeeded" });
    expect(done.json.status).toBeUndefined();
    const opened = await openResult(
      pair.privateKey,
      { org: stage.acme, job: done.json.id },
      done.json.result.sealed,
    );
    expect(Buffer.from(opened).toString()).toContain(Buffer.from("for you alone").toString("base64"));

    outcome = () => answered(); // in clear, though the caller asked for it sealed
    const other = await submit({ body: use({ sealResultTo: toBase64Url(pair.publicKey) }) });
    await eventually(() => stage.log.some((line) => line.includes("unfit outcome"))).toBe(true);
    expect((await read(other.json.id)).json).toMatchObject({ state: "queued" });
  });

  test("a failure says which, and whether another attempt may succeed", async () => {
    outcome = () => ({
      state: "failed",
      failure: "timeout",
      detail: "the destination did not answer in time",
    });
    const failed = await finish();
    expect(failed.json).toMatchObject({
      state: "failed",
      failure: { class: "timeout", detail: "the destination did not answer in time", isTransient: true },
    });
  });
});

describe("redrive", () => {
  const redrive = (id: string, token = stage.token("writer")) =>
    intake.call("POST", `/v1/jobs/${id}/redrive`, { token });
  const fail = async () => {
    outcome = () => ({ state: "failed", failure: "unreachable", detail: "no" });
    return (await finish()).json.id as string;
  };

  test("sends a failed job again, under the same id", async () => {
    const id = await fail();
    outcome = () => answered();
    expect(await redrive(id)).toMatchObject({ status: 202, json: { id, attempt: 2 } });
    await eventually(async () => (await read(id)).json.state).toBe("succeeded");
    expect(seen.map(({ job, attempt }) => [job, attempt])).toEqual([
      [id, 1],
      [id, 2],
    ]);
    expect((await redrive(id)).json).toMatchObject({ status: 409, code: "conflict" });
  });

  test("not by a level that may not use the credential, nor after another version", async () => {
    const id = await fail();
    expect((await redrive(id, stage.token())).status).toBe(403);
    const body = credentialBody();
    await intake.call("PUT", "/v1/credentials/mail", { token: stage.token("admin"), body });
    expect((await redrive(id)).json).toMatchObject({ status: 409, code: "conflict" });
  });
});

test("lists: newest first, by state and credential, in pages", async () => {
  const made: string[] = [];
  for (let count = 0; count < 5; count++)
    made.push((await finish({ body: use({ credential: "open" }) })).json.id);
  const listed: string[] = [];
  for (let cursor = ""; ; ) {
    const { json } = await intake.call("GET", `/v1/jobs?credential=open&state=succeeded&limit=2${cursor}`, {
      token: stage.token(),
    });
    listed.push(...json.jobs.map(({ id }: { id: string }) => id));
    if (!json.next) break;
    cursor = `&cursor=${json.next}`;
  }
  expect(listed.slice(0, 5)).toEqual([...made].reverse());
  const failed = await intake.call("GET", "/v1/jobs?credential=open&state=failed", { token: stage.token() });
  expect(failed.json.jobs).toEqual([]);
});

test("events: past ones, then new ones until the job ends, from the last one seen", async () => {
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  outcome = async () => {
    await held;
    return answered();
  };
  const { json } = await submit();
  const events = (headers = {}) =>
    fetch(`${intake.address}/v1/jobs/${json.id}/events`, {
      headers: { authorization: `Bearer ${stage.token()}`, ...headers },
    });
  const response = await events();
  expect(response.headers.get("content-type")).toContain("text/event-stream");
  const text = response.text();
  release();
  const states = (stream: string) =>
    [...stream.matchAll(/^id: (\d+)\nevent: job\ndata: .*"state":"(\w+)"/gm)].map((m) => [m[1], m[2]]);
  expect(states(await text)).toEqual([
    ["1", "queued"],
    ["2", "succeeded"],
  ]);
  expect(states(await (await events({ "last-event-id": "1" })).text())).toEqual([["2", "succeeded"]]);
});

test("at most 1,000 jobs are in flight for an organization: 429", async () => {
  const partition = `org/${stage.globex}/queued`;
  for (let at = 0; at < 1_000; at += 10) {
    await stage.store.write(
      Array.from({ length: 10 }, (_, index) => ({ partition, sort: newWorkId(at + index), body: {} })),
    );
  }
  const admin = stage.token("admin", "org_globex");
  await intake.call("PUT", "/v1/credentials/mail", { token: admin, body: credentialBody() });
  const refused = await submit({ token: admin });
  expect(refused).toMatchObject({ status: 429, json: { code: "too_many_requests", retry: true } });
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  expect((await submit()).status).toBe(202);
});

test("an organization follows at most 100 jobs at once, and a stream that ends makes room", async () => {
  outcome = () => undefined;
  const { json } = await submit();
  const { hostname, port } = new URL(intake.address);
  const head = `GET /v1/jobs/${json.id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${stage.token()}\r\n\r\n`;
  const follow = async () => {
    const socket = connect(Number(port), hostname);
    socket.write(head);
    const [first] = (await once(socket, "data")) as [Buffer];
    return { status: Number(first.toString("latin1").split(" ")[1]), end: () => socket.destroy() };
  };
  const open = await Promise.all(Array.from({ length: 100 }, follow));
  expect(open.map(({ status }) => status)).toEqual(open.map(() => 200));
  const oneMore = async () => {
    const { status, end } = await follow();
    end();
    return status;
  };
  expect(await oneMore()).toBe(429);
  for (const { end } of open) end();
  await eventually(oneMore).toBe(200);
});

test("other preferences are ignored", async () => {
  expect((await submit({ headers: { prefer: "respond-async" } })).status).toBe(202);
  expect((await submit({ headers: { prefer: "respond-async, wait=10; x=y" } })).status).toBe(200);
});
