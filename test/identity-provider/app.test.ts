import { connect } from "node:net";
import { decodeJwt, decodeProtectedHeader } from "jose";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { registerIdentity } from "../../services/shared/front/identity/authenticator.ts";
import { requestToken } from "../../services/shared/front/identity/token.ts";
import { createServer } from "../../services/shared/http/server.ts";
import {
  GROUPS_CLAIM,
  LOCAL_ISSUER,
  OPERATOR_AUDIENCE,
  ORG_CLAIM,
  TENANT_AUDIENCE,
} from "../../services/shared/local-provider.ts";
import { type LocalIdentityProvider, startIdentityProvider } from "../harness/identity-provider.ts";

let provider: LocalIdentityProvider;
beforeAll(async () => {
  provider = await startIdentityProvider();
});
afterAll(() => provider.close());

test("a tenant's token has Auth0's form, and lives a quarter of an hour", async () => {
  const token = await provider.token({ org_id: "org_acme", groups: "writer,admin", sub: "auth0|ada" });
  expect(decodeProtectedHeader(token)).toEqual({ alg: "RS256", typ: "JWT", kid: "local-test" });
  const { iat, exp, ...claims } = decodeJwt(token);
  expect(claims).toEqual({
    iss: LOCAL_ISSUER,
    aud: TENANT_AUDIENCE,
    sub: "auth0|ada",
    org_id: "org_acme",
    [GROUPS_CLAIM]: ["writer", "admin"],
  });
  expect((exp ?? 0) - (iat ?? 0)).toBe(900);
});

test("an operator's token carries permissions", async () => {
  const token = await provider.token({ audience: OPERATOR_AUDIENCE, permissions: "orgs:create,orgs:read" });
  expect(decodeJwt(token)).toMatchObject({
    aud: OPERATOR_AUDIENCE,
    permissions: ["orgs:create", "orgs:read"],
  });
});

test("its tokens are verified by the keys it serves, which hold nothing private", async () => {
  const { keys } = (await (await fetch(provider.jwksUri)).json()) as { keys: object[] };
  expect(keys.map((key) => Object.keys(key).sort())).toEqual([["alg", "e", "kid", "kty", "n"]]);

  const issuer = {
    issuer: LOCAL_ISSUER,
    audience: TENANT_AUDIENCE,
    jwksUri: provider.jwksUri,
    algorithms: ["RS256" as const],
    orgClaim: ORG_CLAIM,
    groupsClaim: GROUPS_CLAIM,
  };
  const list = [issuer];
  const logger = pino({ level: "silent" });
  const app = createServer(logger);
  onTestFinished(() => app.close());
  const auth = registerIdentity(app, { issuers: () => list, logger, maxLifetimeSeconds: 3600 });
  app.get("/", { config: { access: { open: "a test" } } }, (request) =>
    auth.verify(requestToken(request.raw)),
  );
  const token = await provider.token({ org_id: "org_acme", groups: "writer" });
  const answer = await app.inject({ url: "/", headers: { authorization: `Bearer ${token}` } });
  expect(answer.json()).toMatchObject({ subject: "local-user", org: "org_acme", groups: ["writer"] });
});

test("each token made is a line in the log, without the token", async () => {
  const token = await provider.token({ org_id: "org_logged", sub: "grace" });
  const line = provider
    .log()
    .split("\n")
    .find((each) => each.includes("org_logged"));
  expect(line).toContain("token issued");
  expect(line).toContain("grace");
  expect(provider.log()).not.toContain(token.split(".")[2]);
});

/** What comes back for these bytes, until the server ends the connection. */
async function rawly(text: string): Promise<string> {
  const { hostname, port } = new URL(provider.address);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.write(text);
  let answer = "";
  for await (const chunk of socket.setEncoding("utf8")) answer += chunk;
  return answer;
}

const GOOD_FORM = `grant_type=client_credentials&audience=${encodeURIComponent(TENANT_AUDIENCE)}`;

const withHost = (host: string, method = "POST", path = "/token") =>
  rawly(
    `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${
      method === "POST"
        ? `Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ${GOOD_FORM.length}\r\n\r\n${GOOD_FORM}`
        : "\r\n"
    }`,
  );

test.each([
  "127.0.0.1",
  "127.0.0.1:8290",
  "127.9.9.9:1",
  "localhost",
  "LOCALHOST:8290",
  "[::1]:8290",
])("it answers by the host %s", async (host) => {
  expect(await withHost(host)).toMatch(/^HTTP\/1\.1 200 /);
});

describe("refused", () => {
  const good = { grant_type: "client_credentials", audience: TENANT_AUDIENCE };
  test.each<[string, Record<string, string> | string]>([
    ["no audience", { grant_type: "client_credentials" }],
    ["another audience", { ...good, audience: "https://other" }],
    ["another grant", { ...good, grant_type: "password" }],
    ["an unknown field", { ...good, scope: "x" }],
    ["an org that no claim can be", { ...good, org_id: "a b" }],
    ["an odd subject", { ...good, sub: "a\nb" }],
    ["odd groups", { ...good, groups: "writer,,admin" }],
    ["a field twice", "grant_type=client_credentials&audience=a&audience=b"],
    ["nothing", ""],
  ])("%s", async (_name, form) => {
    const response = await provider.post(form);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: "invalid_request" });
  });

  test("a web page", async () => {
    const response = await provider.post(good, { origin: "https://evil.example" });
    expect(response.status).toBe(403);
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
  });

  test.each([
    "evil.example",
    "evil.example:8290",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "127.0.0.1@evil.example",
    "10.0.0.1",
    "[::2]",
    "[127.0.0.1]",
    "127.0.0.1:8290:1",
    "127.0.0.1, evil.example",
    "",
  ])("the host %j, for all of its paths", async (host) => {
    for (const [method, path] of [
      ["POST", "/token"],
      ["GET", "/jwks"],
      ["GET", "/health"],
      ["GET", "/nothing"],
    ] as const) {
      const answer = await withHost(host, method, path);
      expect(answer).toMatch(/^HTTP\/1\.1 403 /);
      expect(answer).not.toContain("access_token");
    }
  });

  test("the name by which others ask for keys, for all paths but that of the keys", async () => {
    expect(await withHost("agent:8290", "GET", "/jwks")).toMatch(/^HTTP\/1\.1 200 /);
    for (const [method, path] of [
      ["POST", "/token"],
      ["GET", "/health"],
      ["GET", "/jwks/"],
      ["GET", "/nothing"],
    ] as const) {
      expect(await withHost("agent:8290", method, path), path).toMatch(/^HTTP\/1\.1 403 /);
    }
  });

  test("no host at all", async () => {
    expect(await rawly("GET /jwks HTTP/1.0\r\n\r\n")).toMatch(/^HTTP\/1\.1 403 /);
  });

  test("JSON, other paths, other methods", async () => {
    const json = { method: "POST", body: "{}", headers: { "content-type": "application/json" } };
    expect((await fetch(`${provider.address}/token`, json)).status).toBe(415);
    expect((await fetch(`${provider.address}/token`)).status).toBe(404);
    expect((await fetch(`${provider.address}/authorize`)).status).toBe(404);
  });
});
