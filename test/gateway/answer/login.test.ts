import { afterAll, expect } from "vitest";
import { test } from "../../harness/fixtures.ts";
import type { TestGateway } from "../../harness/gateway.ts";
import type { Recorder } from "../../harness/recorder.ts";
import { compact, newPair, type TestIssuer } from "../../harness/tokens.ts";

let issuer: TestIssuer;
/** Stands for the Vault: nothing here may reach it. */
let recorder: Recorder;
let gateway: TestGateway;
test.beforeAll(({ recordedGateway }) => {
  ({ issuer, recorder, gateway } = recordedGateway);
});
afterAll(() => expect(recorder.connections).toBe(0));

const token = (...groups: string[]) => issuer.token({ [issuer.issuer.groupsClaim]: groups });
const login = (body: object | string, headers = {}) =>
  gateway.call("POST", "/v1/auth/jwt/login", { body, headers });

test("a login returns the JWT itself, with its remaining lifetime", async () => {
  const jwt = token("writer");
  for (const body of [{ jwt }, { jwt, role: "writer" }, { jwt, role: "" }, { jwt, role: null }]) {
    const { status, json, headers } = await login(body);
    expect(status).toBe(200);
    expect(headers["cache-control"]).toBe("no-store");
    expect(json).toMatchObject({
      warnings: null,
      auth: { client_token: jwt, renewable: false, token_policies: ["writer"], token_type: "batch" },
    });
    expect((json.auth as { lease_duration: number }).lease_duration).toBeGreaterThan(290);
  }
});

test("a token in a header does not matter", async () => {
  const jwt = token();
  const { json } = await login({ jwt, role: "reader" }, { "x-vault-token": "old" });
  expect(json.auth).toMatchObject({ client_token: jwt, policies: ["reader"] });
});

test("a role above the JWT's level is refused; a lower one gets a warning that the JWT keeps its level", async () => {
  expect((await login({ jwt: token(), role: "writer" })).status).toBe(403);
  const { json } = await login({ jwt: token("admin"), role: "reader" });
  expect(json.auth).toMatchObject({ policies: ["admin"] });
  expect((json.warnings as unknown as string[]).join()).toMatch(/admin; it is not limited to reader/);
  expect((await login({ jwt: token(), role: "root" })).status).toBe(400);
});

test("an invalid JWT, or one of an unknown organization, is refused as on any path", async () => {
  const stranger = newPair();
  const forged = compact({ alg: "RS256", typ: "JWT", kid: issuer.pair.kid }, issuer.claims(), stranger);
  const expired = issuer.token({ iat: 1_000, exp: 2_000 });
  for (const jwt of [forged, expired, "x", "a.b.c"]) expect((await login({ jwt })).status).toBe(403);
  expect((await login({ jwt: issuer.token({ org_id: "org_other" }) })).status).toBe(403);
});

test("a body that is not a login, or is too long", async () => {
  for (const body of ["{}", "[]", "null", '{"jwt":1}', '{"jwt":""}', "jwt", ""]) {
    expect((await login(body, { "content-length": body.length })).status).toBe(400);
  }
  const padded = (length: number) => JSON.stringify({ jwt: token() }).padEnd(length, " ");
  expect((await login(padded(16 * 1024))).status).toBe(200);
  expect((await login(padded(16 * 1024 + 1))).status).toBe(413);
});

test("a chunked body is read up to a login's limit; beyond it the connection is closed", async () => {
  const padded = (length: number) => JSON.stringify({ jwt: token() }).padEnd(length, " ");
  const chunked = { "transfer-encoding": "chunked" };
  expect((await login(JSON.stringify({ jwt: token(), role: null }), chunked)).status).toBe(200);
  expect((await login(padded(16 * 1024), chunked)).status).toBe(200);
  const { status, headers, json } = await login(padded(16 * 1024 + 1), chunked);
  expect({ status, connection: headers.connection }).toEqual({ status: 413, connection: "close" });
  expect(json.errors).toEqual(["A login's body must not exceed 16 KiB."]);
  // One without end is not waited for.
  const head = "POST /v1/auth/jwt/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  const chunk = `1000\r\n${"a".repeat(4096)}\r\n`;
  expect(await gateway.raw(head + chunk.repeat(5))).toMatch(/^HTTP\/1\.1 413 /);
});

test("a renewal returns the same JWT, with a warning that it is not renewed", async () => {
  const jwt = token("writer");
  for (const method of ["POST", "PUT"]) {
    const { status, json } = await gateway.call(method, "/v1/auth/token/renew-self", {
      token: jwt,
      body: { increment: "1h" },
    });
    expect(status).toBe(200);
    expect(json.auth).toMatchObject({ client_token: jwt, renewable: false });
    expect(json.warnings).toHaveLength(1);
  }
});
