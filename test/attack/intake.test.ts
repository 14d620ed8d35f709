import { connect } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  answered,
  credentialBody,
  eventually,
  type IntakeStage,
  startIntakeStage,
  type TestIntake,
} from "../harness/intake.ts";

let stage: IntakeStage;
let intake: TestIntake;
beforeAll(async () => {
  stage = await startIntakeStage();
  intake = await stage.start();
  stage.answer("integration", () => answered());
});
beforeEach(async () => {
  await intake.call("PUT", "/v1/credentials/mail", { token: stage.token("admin"), body: credentialBody() });
});
afterAll(() => stage.close());

/** What comes back for these bytes until the server ends the connection. */
async function raw(bytes: string): Promise<string> {
  const { hostname, port } = new URL(intake.address);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.on("error", () => {}).write(bytes);
  let text = "";
  for await (const chunk of socket.setEncoding("utf8")) text += chunk;
  return text;
}
const head = (method: string, path: string, ...lines: string[]) =>
  [
    `${method} ${path} HTTP/1.1`,
    "Host: x",
    `Authorization: Bearer ${stage.token("admin")}`,
    ...lines,
    "",
    "",
  ].join("\r\n");

const deep = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
const BODIES = [
  ...["", "null", "true", "1", '""', "[]", "{}", "{", "\u0000", '{"a":1}', deep(10_000)],
  ...[
    '{"__proto__":{"level":"admin"}}',
    '{"constructor":{"prototype":{"x":1}}}',
    '{"value":{"__proto__":1}}',
  ],
  JSON.stringify({ ...credentialBody(), destination: [] }),
  JSON.stringify(credentialBody({ destination: { origin: {}, methods: {}, paths: {}, inject: [] } })),
  JSON.stringify({ payload: "x".repeat(60_000), id: "../../x" }),
  JSON.stringify({ url: "https://a.example/", everySeconds: 1e308 }),
  JSON.stringify({
    when: { cron: "*".repeat(100) },
    credential: "mail",
    request: { method: "GET", path: "/v1/x" },
  }),
  JSON.stringify({ credential: "mail", request: { method: "GET", path: `/v1/${"%41".repeat(600)}` } }),
  JSON.stringify({
    credential: "mail",
    request: { method: "GET", path: "/v1/x", query: { "\ud800": "\udfff" } },
  }),
  JSON.stringify({
    credential: "mail",
    request: { method: "GET", path: "/v1/x", headers: { "X-A": "\u0000" } },
  }),
];
const NAMES = [
  "mail",
  "nothing",
  "..",
  "%2e%2e",
  "a%00b",
  "__proto__",
  "a%2fb",
  "%ff",
  "x".repeat(2_000),
  "%F0%9F%98%80",
];

test("no operation answers a 5xx, or what it does not describe, to odd names, bodies and queries", async () => {
  const { paths } = (await intake.call("GET", "/v1/openapi.json")).json;
  let asked = 0;
  for (const [path, methods] of Object.entries<object>(paths)) {
    if (path.endsWith("/events") || path === "/v1/sealing-keys/rotate" || path === "/v1/sealing-keys")
      continue;
    for (const method of Object.keys(methods).map((each) => each.toUpperCase())) {
      if (!["GET", "PUT", "POST", "DELETE"].includes(method)) continue;
      const names = path.includes("{") ? NAMES : [""];
      for (const name of names) {
        const url = path.replace(/\{[a-z]+\}/g, name);
        const bodies =
          method === "GET" || method === "DELETE"
            ? [undefined]
            : name === "mail" || name === ""
              ? BODIES
              : ["{}"];
        for (const body of bodies) {
          const answer = await intake.call(method, url, {
            token: stage.token("admin"),
            headers: { "if-match": '"1"', prefer: "wait=0" },
            ...(body !== undefined && { body }),
          });
          expect(
            answer.status,
            `${method} ${url} ${body?.slice(0, 80)}: ${answer.text.slice(0, 200)}`,
          ).toBeLessThan(500);
          expect(answer.text).not.toMatch(/\bat .*\.[jt]s:\d+|node_modules|canary/);
          asked++;
        }
      }
      for (const query of ["?limit=-1", "?cursor=..", "?a[]=1", "?limit=1&limit=2", "?%00"]) {
        const answer = await intake.call(method, path.replace(/\{[a-z]+\}/g, "mail") + query, {
          token: stage.token("admin"),
          ...(method !== "GET" && method !== "DELETE" && { body: {} }),
        });
        expect(answer.status, `${method} ${path}${query}`).toBeLessThan(500);
      }
    }
  }
  expect(asked).toBeGreaterThan(400);
});

describe("what frames a request differently for another parser is refused:", () => {
  test.each([
    ["another coding", ["Transfer-Encoding: cow, chunked"]],
    ["two lengths", ["Content-Length: 2", "Content-Length: 3"]],
    ["length and chunks", ["Content-Length: 2", "Transfer-Encoding: chunked"]],
    ["a length that is none", ["Content-Length: +2"]],
  ])("%s", async (_, lines) => {
    const text = await raw(`${head("POST", "/v1/jobs", "Connection: close", ...lines)}{}`);
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(text.match(/^HTTP/gm)).toHaveLength(1);
  });

  test("two tokens, or one for each reader", async () => {
    const both = [`X-Vault-Token: ${stage.token("admin", "org_globex")}`, "Connection: close"];
    expect(await raw(head("GET", "/v1/jobs", ...both))).toMatch(/^HTTP\/1\.1 401 /);
    const twice = [`Authorization: Bearer ${stage.token("admin", "org_globex")}`, "Connection: close"];
    expect(await raw(head("GET", "/v1/jobs", ...twice))).toMatch(/^HTTP\/1\.1 401 /);
  });

  test("a header that names another organization's namespace", async () => {
    const answer = await intake.call("GET", "/v1/jobs", {
      token: stage.token(),
      headers: { "x-vault-namespace": stage.globex },
    });
    expect(answer.json).toMatchObject({ status: 400, code: "invalid_request" });
  });
});

test("a body in tiny chunks is cut off with 413", async () => {
  const chunks = "1\r\n \r\n".repeat(5_000);
  const lines = ["Content-Type: application/json", "Transfer-Encoding: chunked", "Connection: close"];
  const text = await raw(head("POST", "/v1/jobs", ...lines) + chunks);
  expect(text).toMatch(/^HTTP\/1\.1 413 /);
  expect(text).toContain("urn:strongroom:problem:body_too_large");
});

test("a head of more than 16 KiB is refused", async () => {
  expect(await raw(head("GET", "/v1/jobs", `X-Large: ${"x".repeat(20_000)}`))).toMatch(/^HTTP\/1\.1 400 /);
});

test("who guesses tokens is held back, and members at the same address are not", async () => {
  const limited = await stage.start({}, { limits: { address: { perSecond: 0.1, burst: 5 } } });
  const member = stage.token();
  expect((await limited.call("GET", "/v1/jobs", { token: member })).status).toBe(200);
  const guesses = await Promise.all(
    Array.from({ length: 20 }, (_, n) => limited.call("GET", "/v1/jobs", { token: `a.b.${n}` })),
  );
  expect(guesses.filter(({ status }) => status === 429).length).toBeGreaterThan(5);
  expect(Number(guesses.find(({ status }) => status === 429)?.headers.get("retry-after"))).toBeGreaterThan(0);
  expect((await limited.call("GET", "/v1/jobs", { token: member })).status).toBe(200);
  await limited.close();
});

test("an organization over its rate is held back, and another is not", async () => {
  const limited = await stage.start({}, { limits: { org: { perSecond: 0.1, burst: 10 } } });
  const ask = (claim: string) => limited.call("GET", "/v1/jobs", { token: stage.token(undefined, claim) });
  const answers = await Promise.all(Array.from({ length: 30 }, () => ask("org_acme")));
  expect(answers.filter(({ status }) => status === 429).length).toBeGreaterThan(15);
  expect((await ask("org_globex")).status).toBe(200);
  await limited.close();
});

test("ids and names of another organization lead nowhere, however they are written", async () => {
  const body = { credential: "mail", request: { method: "GET", path: "/v1/x" } };
  const done = await intake.call("POST", "/v1/jobs", {
    token: stage.token("writer"),
    body,
    headers: { prefer: "wait=10" },
  });
  const foreign = stage.token("admin", "org_globex");
  for (const path of [
    `/v1/jobs/${done.json.id}`,
    `/v1/jobs/..%2f..%2f${stage.acme}%2fjobs%2f${done.json.id}`,
    "/v1/credentials/mail",
  ]) {
    expect((await intake.call("GET", path, { token: foreign })).status, path).toBeGreaterThanOrEqual(400);
  }
  const cursor = Buffer.from(`../${stage.acme}/credentials/`).toString("base64url");
  const page = await intake.call("GET", `/v1/credentials?cursor=${cursor}`, { token: foreign });
  expect(page.json).toEqual({ credentials: [] });
  expect((await intake.call("POST", "/v1/jobs", { token: foreign, body })).status).toBe(404);
});

test("a flood of forged results changes no job, and no honest one is lost among them", async () => {
  const body = { credential: "mail", request: { method: "GET", path: "/v1/x" } };
  const forged = Array.from({ length: 300 }, (_, n) =>
    stage.report(
      n % 2 ? "webhook" : "feed",
      { job: `j${"a".repeat(26)}`, org: stage.acme, attempt: 1 + n },
      answered(200, "forged"),
    ),
  );
  const jobs = await Promise.all(
    Array.from({ length: 20 }, () =>
      intake.call("POST", "/v1/jobs", { token: stage.token("writer"), body, headers: { prefer: "wait=20" } }),
    ),
  );
  await Promise.all(forged);
  for (const { json } of jobs)
    expect(json).toMatchObject({ state: "succeeded", result: { answer: { body: "hello" } } });
  await eventually(() => stage.log.filter((line) => line.includes("unknown job")).length).toBe(300);
});
