import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
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
});
afterAll(() => stage.close());

/** All but HEAD, which is GET without the answer's body. */
const METHODS = ["get", "put", "post", "patch", "delete"];
const LEVELS = ["reader", "writer", "admin"] as const;

interface Operation {
  method: string;
  name: string;
  path: string;
  /** What it needs: a level or a right; undefined if it is open. */
  needs: string | undefined;
  level: (typeof LEVELS)[number] | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: as the document has it
  described: any;
}

async function operations(): Promise<Operation[]> {
  const { json } = await intake.call("GET", "/v1/openapi.json");
  return Object.entries(
    json.paths as Record<string, Record<string, { security: { member: [string] }[] }>>,
  ).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([method]) => METHODS.includes(method))
      .map(([method, described]) => ({
        method: method.toUpperCase(),
        name: path,
        path: path
          .replace("{name}", "some")
          .replace("{id}", `j${"a".repeat(26)}`)
          .replace("{credential}/{*}", "some/v1/me"),
        needs: described.security[0]?.member[0],
        level: LEVELS.find((level) => level === described.security[0]?.member[0]),
        described,
      })),
  );
}

const tokenOf = (level: Operation["level"], claim?: string) =>
  stage.token(level === "reader" ? undefined : level, claim);

describe("every operation of the API", () => {
  test("is one of these, for these levels and above, or these rights", async () => {
    const table = (await operations()).map(
      ({ method, name, needs }) => `${method} ${name} ${needs ?? "open"}`,
    );
    expect(table.sort()).toEqual([
      "DELETE /v1/connections/{name} admin",
      "DELETE /v1/credentials/{name} admin",
      "DELETE /v1/credentials/{name}/rotation admin",
      "DELETE /v1/feeds/{name} writer",
      "DELETE /v1/schedules/{name} writer",
      "DELETE /v1/use/{credential}/{*} reader",
      "DELETE /v1/webhooks/{name} writer",
      "DELETE /v1/webhooks/{name}/rotation admin",
      "GET /v1/connection-providers reader",
      "GET /v1/connection-settings reader",
      "GET /v1/connections reader",
      "GET /v1/connections/{name} reader",
      "GET /v1/credentials reader",
      "GET /v1/credentials/{name} reader",
      "GET /v1/credentials/{name}/rotation rotate",
      "GET /v1/credentials/{name}/rotation/runs rotate",
      "GET /v1/credentials/{name}/rotation/runs/{id} rotate",
      "GET /v1/credentials/{name}/rules reader",
      "GET /v1/feeds reader",
      "GET /v1/feeds/{name} reader",
      "GET /v1/feeds/{name}/items reader",
      "GET /v1/health open",
      "GET /v1/jobs reader",
      "GET /v1/jobs/{id} reader",
      "GET /v1/jobs/{id}/events reader",
      "GET /v1/openapi.json open",
      "GET /v1/ready open",
      "GET /v1/receipts receipts",
      "GET /v1/receipts/checkpoints receipts",
      "GET /v1/receipts/export receipts",
      "GET /v1/receipts/keys receipts",
      "GET /v1/schedules reader",
      "GET /v1/schedules/{name} reader",
      "GET /v1/sealing-keys reader",
      "GET /v1/use/{credential}/{*} reader",
      "GET /v1/webhooks reader",
      "GET /v1/webhooks/{name} reader",
      "GET /v1/webhooks/{name}/deliveries reader",
      "GET /v1/webhooks/{name}/deliveries/{id} reader",
      "GET /v1/webhooks/{name}/rewrap/{id} admin",
      "GET /v1/webhooks/{name}/rotation rotate",
      "PATCH /v1/connections/{name} admin",
      "PATCH /v1/use/{credential}/{*} reader",
      "POST /v1/connections admin",
      "POST /v1/connections/{name}/complete admin",
      "POST /v1/credentials/{name}/disable admin",
      "POST /v1/credentials/{name}/enable admin",
      "POST /v1/credentials/{name}/rewrap admin",
      "POST /v1/credentials/{name}/rotation/start rotate",
      "POST /v1/credentials/{name}/rules/check reader",
      "POST /v1/credentials/{name}/token reader",
      "POST /v1/feeds/{name}/fetch writer",
      "POST /v1/jobs reader",
      "POST /v1/jobs/{id}/redrive reader",
      "POST /v1/sealing-keys/rotate admin",
      "POST /v1/use/{credential}/{*} reader",
      "POST /v1/webhooks/{name}/deliveries/{id}/redeliver writer",
      "POST /v1/webhooks/{name}/disable writer",
      "POST /v1/webhooks/{name}/enable writer",
      "POST /v1/webhooks/{name}/rewrap admin",
      "POST /v1/webhooks/{name}/rotate writer",
      "POST /v1/webhooks/{name}/rotation/start rotate",
      "POST /v1/webhooks/{name}/send writer",
      "PUT /v1/connection-settings admin",
      "PUT /v1/credentials/{name} admin",
      "PUT /v1/credentials/{name}/rotation admin",
      "PUT /v1/credentials/{name}/rules admin",
      "PUT /v1/feeds/{name} writer",
      "PUT /v1/schedules/{name} writer",
      "PUT /v1/use/{credential}/{*} reader",
      "PUT /v1/webhooks/{name} writer",
      "PUT /v1/webhooks/{name}/rotation admin",
    ]);
  });

  test.each([
    ["no token", undefined],
    ["no JWT", "a.b.c"],
    ["a machine's token", `o${"a".repeat(15)}.hvs.${"x".repeat(90)}`],
  ])("refuses those with %s, and says how to ask", async (_, token) => {
    for (const { method, path, needs } of await operations()) {
      if (!needs) continue;
      const answer = await intake.call(method, path, { ...(token && { token }) });
      expect(answer, `${method} ${path}`).toMatchObject({ status: 401, json: { code: "unauthenticated" } });
      expect(answer.headers.get("www-authenticate")).toContain("Bearer");
      expect(answer.headers.get("x-request-id")).toBe(answer.json.requestId);
    }
  });

  test("refuses members below its level, before their body is read", async () => {
    for (const { method, path, level } of await operations()) {
      const below = level && LEVELS[LEVELS.indexOf(level) - 1];
      if (!below) continue;
      const answer = await intake.call(method, path, { token: tokenOf(below) });
      expect(answer, `${method} ${path}`).toMatchObject({ status: 403, json: { code: "forbidden" } });
      expect(answer.json.detail).toContain(level);
    }
  });

  test.each([
    ["rotate", "rotation-operator"],
    ["receipts", "auditor"],
  ] as const)("refuses who has only the right %s, unless it needs that", async (right, group) => {
    const token = stage.issuer.token({
      ...{ sub: "ann", [stage.issuer.issuer.orgClaim]: "org_acme" },
      [stage.issuer.issuer.groupsClaim]: ["reader", group],
    });
    let allowed = 0;
    for (const { method, path, needs } of await operations()) {
      const answer = await intake.call(method, path, { token });
      if (needs === right || needs === undefined) {
        expect([401, 403], `${method} ${path}`).not.toContain(answer.status);
        allowed++;
      } else expect(answer, `${method} ${path}`).toMatchObject({ status: 403, json: { code: "forbidden" } });
    }
    expect(allowed).toBeGreaterThan(4);
  });

  test("refuses a member of an organization that does not exist", async () => {
    const token = stage.token("admin", "org_nobody");
    const answer = await intake.call("GET", "/v1/credentials", { token });
    expect(answer).toMatchObject({ status: 403, json: { code: "forbidden" } });
  });

  test("tells another organization's members that a thing does not exist", async () => {
    const token = stage.token("admin");
    const worker = stage.answer("integration", () => answered());
    await intake.call("PUT", "/v1/credentials/some", { token, body: credentialBody() });
    const request = { method: "GET", path: "/v1/x" };
    const put = async (path: string, body: object) => {
      const answer = await intake.call("PUT", path, { token, body });
      expect(answer.status, answer.text).toBe(201);
    };
    await put("/v1/schedules/some", { credential: "some", request, when: { everySeconds: 60 } });
    await put("/v1/webhooks/some", { url: "https://hooks.example.com/in" });
    await put("/v1/feeds/some", { url: "https://feeds.example.com/rss", everySeconds: 300 });
    const job = await intake.call("POST", "/v1/jobs", {
      token,
      body: { credential: "some", request },
      headers: { prefer: "wait=10" },
    });
    const sent = await intake.call("POST", "/v1/webhooks/some/send", { token, body: { payload: {} } });
    const bodies: Record<string, object> = {
      "POST /v1/webhooks/{name}/send": { payload: {} },
      "POST /v1/connections/{name}/complete": { callback: "https://a.example/?code=x" },
      "PATCH /v1/connections/{name}": { scopes: ["read"] },
      "POST /v1/credentials/{name}/rules/check": { method: "GET", path: "/v1/me" },
      "POST /v1/credentials/{name}/token": {},
    };
    let asked = 0;
    for (const { method, name } of await operations()) {
      if (!name.includes("{") || method === "PUT") continue;
      const id = name.startsWith("/v1/jobs") ? job.json.id : sent.json.id;
      const path = name
        .replace("{name}", "some")
        .replace("{id}", id)
        .replace("{credential}/{*}", "some/v1/me");
      const answer = await intake.call(method, path, {
        token: stage.token("admin", "org_globex"),
        body: bodies[`${method} ${name}`],
      });
      expect(answer, `${method} ${path}`).toMatchObject({ status: 404, json: { code: "not_found" } });
      asked++;
    }
    expect(asked).toBeGreaterThan(20);
    const lists = ["credentials", "jobs", "schedules", "webhooks", "feeds"];
    for (const list of lists) {
      const own = await intake.call("GET", `/v1/${list}`, { token });
      expect(own.json[list].length, list).toBeGreaterThan(0);
      const others = await intake.call("GET", `/v1/${list}`, { token: stage.token("admin", "org_globex") });
      expect(others.json).toEqual({ [list]: [] });
    }
    expect(worker.length).toBe(1);
  });

  test("declares what it answers, problems included", async () => {
    for (const { method, name, level, described } of await operations()) {
      const statuses = Object.keys(described.responses);
      expect(described.summary, `${method} ${name}`).toBeTruthy();
      if (level && !name.startsWith("/v1/use/"))
        expect(statuses, `${method} ${name}`).toEqual(expect.arrayContaining(["401", "403", "429", "503"]));
      for (const status of statuses.filter((each) => each >= "400" && each < "600")) {
        expect(Object.keys(described.responses[status].content)).toEqual(["application/problem+json"]);
      }
    }
  });
});

test("an unknown path is 404 for members, and 401 for strangers; a wrong method is 405", async () => {
  expect((await intake.call("GET", "/v1/nothing")).status).toBe(401);
  expect((await intake.call("GET", "/v1/nothing", { token: stage.token() })).json.code).toBe("not_found");
  const wrong = await intake.call("PATCH", "/v1/jobs", { token: stage.token() });
  expect(wrong).toMatchObject({ status: 405, json: { code: "method_not_allowed" } });
  expect(wrong.headers.get("allow")).toBe("GET, POST");
});

test("a revoked token is refused", async () => {
  const token = stage.token("admin", "org_acme", "eve");
  expect((await intake.call("GET", "/v1/jobs", { token })).status).toBe(200);
  const ends = Math.floor(Date.now() / 1000) + 600;
  const { issuer } = stage.issuer.issuer;
  await stage.published.revoke([
    { issuer, claim: "org_acme", revocations: [{ subject: "eve", issuedUntil: ends, ends }] },
  ]);
  expect((await intake.call("GET", "/v1/jobs", { token })).status).toBe(401);
});

test("health and readiness are open, and say nothing more", async () => {
  expect(await intake.call("GET", "/v1/health")).toMatchObject({ status: 200, text: '{"status":"alive"}' });
  expect(await intake.call("GET", "/v1/ready")).toMatchObject({ status: 200, text: '{"status":"ready"}' });
});

test("a request that is no HTTP gets a problem, and the connection ends", async () => {
  const { hostname, port } = new URL(intake.address);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.write("GARBAGE\r\n\r\n");
  let text = "";
  for await (const chunk of socket.setEncoding("utf8")) text += chunk;
  expect(text).toMatch(/^HTTP\/1\.1 400 /);
  expect(text).toContain("urn:strongroom:problem:invalid_request");
});

test("the log names the organization, a digest of the subject and the route, and nothing of token or path", async () => {
  const token = stage.token();
  const answer = await intake.call("GET", "/v1/credentials/some-name", { token });
  const id = answer.headers.get("x-request-id");
  await eventually(() => stage.log.find((line) => line.includes(`"requestId":"${id}"`))).toBeDefined();
  const line = JSON.parse(stage.log.find((each) => each.includes(`"requestId":"${id}"`)) ?? "{}");
  expect(line).toMatchObject({ org: stage.acme, method: "GET", route: "/v1/credentials/:name", status: 404 });
  expect(line.subject).toMatch(/^[0-9a-f]{16}$/);
  const all = stage.log.join("");
  expect(all).not.toContain("some-name");
  expect(all).not.toContain(token);
  expect(all).not.toContain("canary");
});
