import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { followTrail, TRAIL_BEGIN, type TrailEntry } from "../../../services/shared/audit/trail.ts";
import type { Problem } from "../../../services/shared/http/problem.ts";
import { newOrgId } from "../../../services/shared/org.ts";
import { compact, newPair, tamper } from "../../harness/tokens.ts";
import { ALL_PERMISSIONS, eventually, Stage } from "../stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open({ vaultBinary: inject("vaultBinary") });
  await stage.startControlPlane();
});
afterAll(() => stage?.close());

interface Operation {
  operationId?: string;
  security: { operator: [string] }[];
  responses: Record<string, unknown>;
}

const METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/** Every operation of the API's own description, its path's parameters filled in. */
async function operations() {
  const { paths } = await stage.json<{ paths: Record<string, Record<string, Operation>> }>(
    "GET",
    "/v1/openapi.json",
  );
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([method]) => METHODS.includes(method))
      .map(([method, operation]) => ({
        method: method.toUpperCase(),
        name: path,
        path: path.replace(/^(\/v1\/jobs\/){id}/, "$1jaaaaaaaaaaaaaaa").replace("{id}", newOrgId()),
        permission: operation.security[0]?.operator[0],
        operation,
      })),
  );
}

async function expectProblem(response: Response, status: number, code: string): Promise<Problem> {
  const text = await response.text();
  expect(response.status, text).toBe(status);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const problem = JSON.parse(text) as Problem;
  expect(problem).toMatchObject({ status, code, type: `urn:strongroom:problem:${code}` });
  expect(problem.requestId).toBe(response.headers.get("x-request-id"));
  expect(text).not.toMatch(/\bat .*\.[jt]s:\d+|node_modules/);
  return problem;
}

/** What comes back for these bytes, until the server ends the connection. */
async function raw(text: string): Promise<string> {
  const { hostname, port } = new URL(stage.address);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.end(text);
  let answer = "";
  for await (const chunk of socket.setEncoding("utf8")) answer += chunk;
  return answer;
}

describe("every operation of the API", () => {
  test("is one of these, with these permissions", async () => {
    const table = (await operations()).map(
      ({ method, name, permission }) => `${method} ${name} ${permission ?? "open"}`,
    );
    expect(table.sort()).toEqual([
      "DELETE /v1/orgs/{id} orgs:delete",
      "GET /v1/audit audit:read",
      "GET /v1/directory open",
      "GET /v1/health open",
      "GET /v1/jobs/{id} orgs:read",
      "GET /v1/jobs/{id}/events orgs:read",
      "GET /v1/openapi.json open",
      "GET /v1/orgs orgs:read",
      "GET /v1/orgs/{id} orgs:read",
      "GET /v1/orgs/{id}/revocations orgs:read",
      "GET /v1/ready open",
      "GET /v1/revocations open",
      "POST /v1/orgs orgs:create",
      "POST /v1/orgs/{id}/revocations orgs:revoke",
      "POST /v1/revocations open",
      "PUT /v1/orgs/{id}/machine-tokens orgs:machine-tokens",
      "PUT /v1/orgs/{id}/owner orgs:reassign",
    ]);
  });

  test("refuses those without a token, and says how to ask", async () => {
    for (const { method, path, permission } of await operations()) {
      if (!permission) continue;
      const response = await stage.request(method, path, { token: "" });
      await expectProblem(response, 401, "unauthenticated");
      expect(response.headers.get("www-authenticate")).toContain("Bearer");
    }
  });

  test("refuses those that lack its permission, and names it", async () => {
    for (const { method, path, permission } of await operations()) {
      if (!permission) continue;
      const token = stage.token(ALL_PERMISSIONS.filter((each) => each !== permission));
      const problem = await expectProblem(await stage.request(method, path, { token }), 403, "forbidden");
      expect(problem.detail).toContain(permission);
    }
  });

  test("lets those through that have it", async () => {
    for (const { method, path, permission } of await operations()) {
      if (!permission) continue;
      const { status } = await stage.request(method, path, { token: stage.token([permission]) });
      expect([200, 400, 404], `${method} ${path}: ${status}`).toContain(status);
    }
  });

  test("declares what it answers, problems included", async () => {
    for (const { operation, permission, name } of await operations()) {
      const statuses = Object.keys(operation.responses);
      if (permission) expect(statuses, name).toEqual(expect.arrayContaining(["401", "403"]));
      expect(statuses.some((status) => status.startsWith("2"))).toBe(true);
    }
  });
});

describe("tokens", () => {
  const now = () => Math.floor(Date.now() / 1000);
  const operator = (changes: Record<string, unknown> = {}) => ({
    aud: "https://strongroom.test/control-plane",
    permissions: ALL_PERMISSIONS,
    ...changes,
  });

  test.each<[string, () => string]>([
    ["rubbish", () => "rubbish"],
    ["a tenant's", () => stage.issuer.token({ permissions: ALL_PERMISSIONS })],
    ["expired", () => stage.issuer.token(operator({ iat: now() - 100, exp: now() - 1 }))],
    ["without an end", () => stage.issuer.token(operator({ exp: undefined }))],
    ["too long-lived", () => stage.issuer.token(operator({ exp: now() + 3700 }))],
    ["not yet valid", () => stage.issuer.token(operator({ nbf: now() + 60 }))],
    ["of another issuer", () => stage.issuer.token(operator({ iss: "https://elsewhere.test/" }))],
    ["tampered with", () => tamper(stage.issuer.token(operator()), 1)],
    [
      "by another key",
      () => compact({ alg: "RS256", kid: stage.issuer.pair.kid }, stage.issuer.claims(operator()), newPair()),
    ],
    ["with permissions that are no list", () => stage.issuer.token(operator({ permissions: "orgs:read" }))],
  ])("%s: 401", async (_, token) => {
    await expectProblem(await stage.request("GET", "/v1/orgs", { token: token() }), 401, "unauthenticated");
  });

  test.each<[string, () => string, string]>([
    ["a member's", () => stage.issuer.token({ org_id: "org_secret" }), "organization's member"],
    ["a machine's", () => `${newOrgId()}.hvs.${"A".repeat(90)}`, "organization's machine"],
  ])("whose token it is, is said, and nothing that it holds: %s", async (_, token, kind) => {
    const response = await stage.request("GET", "/v1/orgs", { token: token() });
    const problem = await expectProblem(response, 401, "unauthenticated");
    expect(problem.detail).toContain(kind);
    expect(problem.detail).toContain("operators' tokens");
    expect(JSON.stringify(problem)).not.toMatch(/org_secret|hvs/);
  });

  test.each<[string, () => string]>([
    ["another audience", () => stage.issuer.token({ aud: "https://elsewhere.test/" })],
    ["another issuer", () => stage.issuer.token({ iss: "https://elsewhere.test/" })],
    ["no token", () => "a.b.c"],
  ])("nothing is said of one with %s", async (_, token) => {
    const response = await stage.request("GET", "/v1/orgs", { token: token() });
    const problem = await expectProblem(response, 401, "unauthenticated");
    expect(problem.detail).toBe("This needs a valid token.");
  });

  test("the issuer's keys cannot be had: 503, and not for keys that are known", async () => {
    const known = stage.token();
    expect((await stage.request("GET", "/v1/orgs", { token: known })).status).toBe(200);
    await stage.issuer.down();
    try {
      expect((await stage.request("GET", "/v1/orgs", { token: stage.token() })).status).toBe(200);
    } finally {
      await stage.issuer.up();
    }
  });
});

describe("bad input", () => {
  const good = { name: "acme", claim: "org_acme" };
  const post = (body: unknown, headers = {}) => stage.request("POST", "/v1/orgs", { body, headers });

  test.each<[string, unknown]>([
    ["malformed JSON", '{"name": "acme", '],
    ["an empty body", ""],
    ["a list", [good]],
    ["null", "null"],
    ["no claim", { name: "acme" }],
    ["an unknown field", { ...good, admin: true }],
    ["a polluted prototype", '{"name":"acme","claim":"org_acme","__proto__":{"x":1}}'],
    ["a short name", { ...good, name: "ab" }],
    ["a long name", { ...good, name: "a".repeat(41) }],
    ["upper case", { ...good, name: "Acme" }],
    ["a dot in the name", { ...good, name: "acme.com" }],
    ["a name that begins with a hyphen", { ...good, name: "-acme" }],
    ["a name that is a path", { ...good, name: "../acme" }],
    ["a name with a line end", { ...good, name: "acme\n" }],
    ["a name that is a number", { ...good, name: 1234 }],
    ["an empty claim", { ...good, claim: "" }],
    ["a claim with a slash", { ...good, claim: "org/acme" }],
    ["a claim that is too long", { ...good, claim: "x".repeat(129) }],
    ["an issuer that is not configured", { ...good, issuer: "https://elsewhere.test/" }],
    ["two recovery keys", { ...good, recoveryPgpKeys: ["a", "b"] }],
    ["eleven recovery keys", { ...good, recoveryPgpKeys: Array(11).fill("a") }],
  ])("%s: 400", async (_, body) => {
    await expectProblem(await post(body), 400, "invalid_request");
  });

  test("which part was wrong is named, its value is not", async () => {
    const problem = await expectProblem(await post({ ...good, name: "Not A Name" }), 400, "invalid_request");
    expect(problem.errors?.[0]?.pointer).toBe("/body/name");
    expect(JSON.stringify(problem)).not.toContain("Not A Name");
  });

  test.each(["", " ".repeat(201), "x".repeat(201), "ä"])("the Idempotency-Key %j: 400", async (key) => {
    await expectProblem(await post(good, { "Idempotency-Key": key }), 400, "invalid_request");
  });

  test("a body that is too large: 413", async () => {
    await expectProblem(await post({ ...good, claim: "x".repeat(70_000) }), 413, "body_too_large");
  });

  test("another content type: 415", async () => {
    const response = await stage.request("POST", "/v1/orgs", {
      body: "name=acme",
      headers: { "Content-Type": "text/plain" },
    });
    await expectProblem(response, 415, "unsupported_media_type");
  });

  test("keys that cannot encrypt: 422", async () => {
    const recoveryPgpKeys = Array(3).fill("AAAA");
    const problem = await expectProblem(
      await post({ ...good, recoveryPgpKeys }),
      422,
      "recovery_key_unusable",
    );
    expect(problem.detail).toContain("recoveryPgpKeys/");
  });

  test.each([
    ["/v1/orgs/nope", 400, "invalid_request"],
    ["/v1/orgs/..%2f..%2fsys", 400, "invalid_request"],
    ["/v1/orgs/oaaaaaaaaaaaaaaa", 404, "not_found"],
    ["/v1/jobs/jaaaaaaaaaaaaaaa", 404, "not_found"],
    ["/v1/jobs/jaaaaaaaaaaaaaaa/events", 404, "not_found"],
    ["/v1/jobs/nope", 400, "invalid_request"],
    ["/v1/orgs?limit=0", 400, "invalid_request"],
    ["/v1/orgs?limit=101", 400, "invalid_request"],
    ["/v1/orgs?limit=ten", 400, "invalid_request"],
    ["/v1/orgs?limit=1&limit=2", 400, "invalid_request"],
    ["/v1/orgs?cursor=x", 400, "invalid_request"],
    ["/v1/orgs?sort=name", 400, "invalid_request"],
    ["/v1/nothing", 404, "not_found"],
    ["/", 404, "not_found"],
    ["//v1/orgs", 404, "not_found"],
  ])("GET %s: %i", async (path, status, code) => {
    await expectProblem(await stage.request("GET", path), status, code);
  });

  test("Last-Event-ID that is no number: 400", async () => {
    const headers = { "Last-Event-ID": "x" };
    await expectProblem(
      await stage.request("GET", "/v1/jobs/jaaaaaaaaaaaaaaa/events", { headers }),
      400,
      "invalid_request",
    );
  });

  test("another method: 405, and which ones there are", async () => {
    const byPath = new Map<string, { path: string; allow: string[] }>();
    for (const { method, name, path } of await operations()) {
      const { allow } = byPath.get(name) ?? { allow: [] };
      byPath.set(name, { path, allow: [...allow, method].sort() });
    }
    for (const { path, allow } of byPath.values()) {
      for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "PROPFIND"]) {
        if (allow.includes(method)) continue;
        for (const token of ["", stage.token()]) {
          const response = await stage.request(method, path, { token });
          expect(response.headers.get("allow"), `${method} ${path}`).toBe(allow.join(", "));
          await expectProblem(response, 405, "method_not_allowed");
        }
      }
    }
  });

  test.each(["QUERY", "PROPFIND", "PUT"])("%s at no path, without a content type: 404", async (method) => {
    await expectProblem(await stage.request(method, "/v1/nothing", { token: "" }), 404, "not_found");
  });

  test.each([
    "/v1/orgs/%zz",
    "/v1/orgs/%",
    `/v1/orgs/${"x".repeat(2_000)}`,
  ])("GET %s: 400 as a problem", async (path) => {
    await expectProblem(await stage.request("GET", path), 400, "invalid_request");
  });

  test("an encoded spelling of a path is the same path", async () => {
    const response = await stage.request("PUT", "/v1/%6frgs", { body: good });
    expect(response.headers.get("allow")).toBe("GET, POST");
    await expectProblem(response, 405, "method_not_allowed");
  });

  test.each([
    ["what is not HTTP", "hello\r\n\r\n"],
    [
      "a head that is too large",
      `GET /v1/health HTTP/1.1\r\nHost: x\r\nX-Long: ${"x".repeat(20_000)}\r\n\r\n`,
    ],
    ["two lengths", "POST /v1/orgs HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"],
  ])("%s: 400", async (_, text) => {
    const answer = await raw(text);
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\nContent-Type: application\/problem\+json\r\n/);
    expect(JSON.parse(answer.split("\r\n\r\n")[1] ?? "")).toMatchObject({
      code: "invalid_request",
      status: 400,
    });
  });

  test("nothing was begun by any of these", async () => {
    expect(await stage.registry.orgs.keys()).toEqual([]);
    expect(await stage.registry.jobs.keys()).toEqual([]);
    expect(await stage.registry.names.keys()).toEqual([]);
    expect(await stage.registry.claims.keys()).toEqual([]);
    expect(await stage.registry.idempotency.keys()).toEqual([]);
  });
});

test("an empty platform has an empty list, and a signed directory that is empty", async () => {
  expect(await stage.json("GET", "/v1/orgs")).toEqual({ orgs: [] });
  const response = await stage.request("GET", "/v1/directory", { token: "" });
  expect(response.headers.get("content-type")).toBe("application/jose");
  const [, payload = ""] = (await response.text()).split(".");
  expect(JSON.parse(Buffer.from(payload, "base64url").toString())).toMatchObject({
    version: 1,
    orgs: [],
    deleted: [],
  });
});

test("alive and ready, to anyone", async () => {
  expect(await stage.json("GET", "/v1/health", { token: "" })).toEqual({ status: "alive" });
  expect(await stage.json("GET", "/v1/ready", { token: "" })).toEqual({ status: "ready" });
});

test("one log line a request, by whom and with what result, never with the token", async () => {
  const token = stage.token(["orgs:read"], "operator|ada");
  const response = await stage.request("GET", "/v1/orgs?limit=7", { token });
  const id = response.headers.get("x-request-id");
  const linesOf = (part: string) =>
    stage
      .log("control-plane")
      .split("\n")
      .filter((line) => line.includes(part));
  const lines = await eventually("it is logged", async () => {
    const lines = linesOf(id ?? "no id");
    return lines.length > 0 ? lines : undefined;
  });
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({
    requestId: id,
    subject: "operator|ada",
    method: "GET",
    route: "/v1/orgs",
    status: 200,
    ms: expect.any(Number),
  });
  expect(stage.log("control-plane")).not.toContain(token.split(".")[2]);
  expect(stage.log("control-plane")).not.toContain("limit=7");
});

test("a revocation says which command ends the machine tokens that live on, if there can be any", async () => {
  const org = newOrgId();
  await stage.registry.orgs.create(org, {
    ...{ id: org, name: "machines", claim: "org_machines", issuer: stage.issuer.issuer, state: "deleted" },
    ...{ job: "jaaaaaaaaaaaaaaa", attempt: 1, restart: 0, reload: 0, createdAt: "now" },
    ...{ retiredTokenAccessors: [], retiredCertificateSerials: [] },
  });
  onTestFinished(() => stage.registry.orgs.remove(org));
  const revoke = (body: object) => stage.json("POST", `/v1/orgs/${org}/revocations`, { body });
  expect(await revoke({ subject: "ada" })).not.toHaveProperty("machineTokens");
  await stage.registry.orgs.update(org, (current) => ({ ...current, machineTokens: true }));
  const list = `strongroom org machine-tokens ${org} list`;
  const end = (quoted: string) => `strongroom org machine-tokens ${org} revoke --made-by ${quoted}`;
  for (const [body, command] of [
    [{ tokenId: "t" }, list],
    [{ token: "a".repeat(43) }, list],
    [{ subject: "ada@acme.test" }, end("ada@acme.test")],
    [{ subject: "auth0|ada" }, end("'auth0|ada'")],
    [{ subject: "$(reboot)'; x" }, end("'$(reboot)'\\''; x'")],
    [{ subject: "--json" }, end("'--json'")],
  ] as const) {
    expect(await revoke(body)).toMatchObject({ ...body, machineTokens: { command } });
  }
});

describe("the trail", () => {
  const entries = async () => {
    const all: TrailEntry[] = [];
    for (let head = TRAIL_BEGIN; ; ) {
      const page = await stage.json<{ entries: TrailEntry[] }>("GET", `/v1/audit?after=${head.sequence}`);
      if (page.entries.length === 0) return all;
      head = followTrail(page.entries, head);
      all.push(...page.entries);
    }
  };
  const of = async (requestId: string | null) =>
    (await entries()).filter((entry) => entry.requestId === requestId);

  test("has who asked for what before it is done, and what came of it", async () => {
    const org = newOrgId();
    const response = await stage.request("POST", `/v1/orgs/${org}/revocations`, {
      body: { subject: "x" },
      token: stage.token(["orgs:revoke"], "operator|lovelace"),
    });
    expect(response.status).toBe(404);
    const event = { actor: "operator|lovelace", action: "POST /v1/orgs/:id/revocations", org };
    const found = await eventually("both are there", async () => {
      const both = await of(response.headers.get("x-request-id"));
      return both.length === 2 ? both : undefined;
    });
    expect(found).toMatchObject([event, { ...event, status: 404 }]);
    expect(found[0]).not.toHaveProperty("status");
  });

  test("has nothing of what an operator may not, of strangers, and of who only looks; a line in the log has the first", async () => {
    const before = (await entries()).length;
    const asked = await Promise.all([
      stage.request("DELETE", `/v1/orgs/${newOrgId()}`, { token: stage.token(["orgs:read"]) }),
      stage.request("DELETE", `/v1/orgs/${newOrgId()}`, { token: stage.token([]) }),
      stage.request("POST", "/v1/orgs", { body: "{" }),
      stage.request("DELETE", `/v1/orgs/${newOrgId()}`, { token: "" }),
      stage.request("GET", "/v1/orgs"),
    ]);
    expect(asked.map(({ status }) => status)).toEqual([403, 403, 400, 401, 200]);
    const ids = asked.map(({ headers }) => headers.get("x-request-id") ?? "");
    const refusals = await eventually("the log has the refusals", async () => {
      const lines = stage
        .log("control-plane")
        .split("\n")
        .filter((line) => line.includes("not on the trail"));
      const found = ids.slice(0, 3).map((id) => lines.find((line) => line.includes(id)));
      return found.every((line) => line) ? found.map((line) => JSON.parse(line ?? "")) : undefined;
    });
    expect(refusals).toMatchObject([
      { action: "DELETE /v1/orgs/:id", status: 403, refused: expect.any(Number) },
      { action: "DELETE /v1/orgs/:id", status: 403, refused: expect.any(Number) },
      { action: "POST /v1/orgs", status: 400, refused: expect.any(Number) },
    ]);
    expect(await entries()).toHaveLength(before);
  });
});
