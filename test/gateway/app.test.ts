import { readFile } from "node:fs/promises";
import { describe, expect } from "vitest";
import { test } from "../harness/fixtures.ts";
import type { Answer, TestGateway } from "../harness/gateway.ts";
import type { TestIssuer } from "../harness/tokens.ts";
import type { OrgVault } from "../harness/vault.ts";

let issuer: TestIssuer;
let acme: OrgVault;
let gateway: TestGateway;
test.beforeAll(({ servedOrg }) => {
  ({ issuer, acme, gateway } = servedOrg);
});

const token = (level?: "writer" | "admin", sub = "ada") =>
  issuer.token({ sub, ...(level && { [issuer.issuer.groupsClaim]: [level] }) });
const KV = "/v1/secret";
const JSON_TYPE = "application/json";

/** Vault's own form: content type exactly this, errors in a list. */
function expectErrors(answer: Answer, status: number): void {
  expect(answer).toMatchObject({ status, headers: { "content-type": JSON_TYPE } });
  expect(answer.json.errors).toBeInstanceOf(Array);
}

test.each([
  "rotation-operator",
  "auditor",
])("who has only the right of %s reads and does nothing", async (group) => {
  const { groupsClaim } = issuer.issuer;
  const only = issuer.token({ sub: "ann", [groupsClaim]: ["reader", group] });
  await gateway.call("POST", `${KV}/data/app/right`, { token: token("writer"), body: { data: { a: "1" } } });
  for (const [method, path, body] of [
    ["GET", `${KV}/data/app/right`],
    ["GET", `${KV}/metadata/?list=true`],
    ["POST", `${KV}/data/app/right`, { data: { a: "2" } }],
    ["GET", "/v1/auth/token/lookup-self"],
    ["POST", "/v1/auth/token/renew-self", {}],
    ["GET", "/v1/sys/internal/ui/mounts/secret/app"],
  ] as const) {
    const answer = await gateway.call(method, path, { token: only, ...(body && { body }) });
    expectErrors(answer, 403);
    expect(answer.text).not.toContain('"a"');
  }
  const login = await gateway.call("POST", "/v1/auth/jwt/login", { body: { jwt: only, role: "reader" } });
  expectErrors(login, 403);
  // With a level, too, it has that.
  const both = issuer.token({ sub: "ann", [groupsClaim]: ["writer", group] });
  expect((await gateway.call("GET", `${KV}/data/app/right`, { token: both })).status).toBe(200);
});

describe("key-value secrets, at a real Vault", () => {
  test("written, read, patched, listed, deleted, undeleted, destroyed", async () => {
    const writer = token("writer");
    const admin = token("admin");
    const path = `${KV}/data/app/life`;
    const written = await gateway.call("POST", path, { token: writer, body: { data: { a: "1" } } });
    expect(written).toMatchObject({ status: 200, headers: { "content-type": JSON_TYPE } });
    expect(written.json.data).toMatchObject({ version: 1 });
    await gateway.call("PUT", path, { token: writer, body: { data: { a: "2" }, options: { cas: 1 } } });
    const patch = {
      token: writer,
      body: { data: { b: "3" } },
      headers: { "content-type": "application/merge-patch+json" },
    };
    expect((await gateway.call("PATCH", path, patch)).json.data).toMatchObject({ version: 3 });
    const read = await gateway.call("GET", path, { token: token() });
    expect(read.headers).toMatchObject({ "content-type": JSON_TYPE, "cache-control": "no-store" });
    expect(read.json.data?.data).toEqual({ a: "2", b: "3" });
    expect((await gateway.call("GET", `${path}?version=1`, { token: token() })).json.data?.data).toEqual({
      a: "1",
    });
    const keys = await gateway.call("GET", `${KV}/subkeys/app/life?version=3&depth=1`, { token: token() });
    expect(keys.json.data?.subkeys).toEqual({ a: null, b: null });

    expect((await gateway.call("DELETE", path, { token: writer })).status).toBe(204);
    const gone = await gateway.call("GET", path, { token: token() });
    expect(gone.status).toBe(404);
    expect(gone.json.data?.metadata).toMatchObject({ version: 3 }); // clients read this body of a 404
    const versions = { token: writer, body: { versions: [3] } };
    expect((await gateway.call("POST", `${KV}/undelete/app/life`, versions)).status).toBe(204);
    expect((await gateway.call("GET", path, { token: token() })).status).toBe(200);
    expect((await gateway.call("PUT", `${KV}/delete/app/life`, versions)).status).toBe(204);
    expectErrors(await gateway.call("PUT", `${KV}/destroy/app/life`, versions), 403);
    expect((await gateway.call("PUT", `${KV}/destroy/app/life`, { ...versions, token: admin })).status).toBe(
      204,
    );

    const metadata = await gateway.call("GET", `${KV}/metadata/app/life`, { token: token() });
    expect(metadata.json.data).toMatchObject({ current_version: 3 });
    const setMetadata = { token: admin, body: { custom_metadata: { owner: "ada" } } };
    expect((await gateway.call("POST", `${KV}/metadata/app/life`, setMetadata)).status).toBe(204);
    for (const list of [`${KV}/metadata/app?list=true`, `${KV}/metadata/app/?list=true`]) {
      expect((await gateway.call("GET", list, { token: token() })).json.data?.keys).toContain("life");
    }
    expect(
      (await gateway.call("GET", `${KV}/metadata/?list=true`, { token: token() })).json.data?.keys,
    ).toContain("app/");
    expect((await gateway.call("DELETE", `${KV}/metadata/app/life`, { token: admin })).status).toBe(204);
    expect((await gateway.call("GET", path, { token: token() })).status).toBe(404);
  });

  test("posted by curl or fetch: JSON with the content type of a form or text, or none", async () => {
    const body = '{"data":{"password":"s3cret"}}';
    for (const type of ["application/x-www-form-urlencoded", "text/plain;charset=UTF-8", undefined]) {
      const headers = type ? { "content-type": type } : {};
      const answer = await gateway.call("POST", `${KV}/data/app/curl`, {
        token: token("writer"),
        body,
        headers,
      });
      expect(answer.status).toBe(200);
    }
    const read = await gateway.call("GET", `${KV}/data/app/curl`, { headers: { "x-vault-token": token() } });
    expect(read.json.data?.data).toEqual({ password: "s3cret" });
  });

  test("a name with spaces and other allowed characters is one secret in any encoding", async () => {
    const body = { data: { a: 1 } };
    const written = await gateway.call("POST", `${KV}/data/a%20b/c%40d+e,f=g:h~i`, {
      token: token("writer"),
      body,
    });
    expect(written.status).toBe(200);
    const read = await gateway.call("GET", `${KV}/data/a%20b/c@d%2be%2Cf%3dg%3Ah%7Ei`, { token: token() });
    expect(read.json.data?.data).toEqual({ a: 1 });
    const list = await gateway.call("GET", `${KV}/metadata/a%20b?list=true`, { token: token() });
    expect(list.json.data?.keys).toEqual(["c@d+e,f=g:h~i"]);
  });

  test("a policy's refusal is Vault's 403", async () => {
    const answer = await gateway.call("POST", `${KV}/data/app/x`, { token: token(), body: { data: {} } });
    expectErrors(answer, 403);
    expect(answer.json.errors?.join()).toContain("permission denied");
  });

  test("one person's two tokens each keep their own level", async () => {
    const [reader, writer] = [token(undefined, "grace"), token("writer", "grace")];
    const write = (jwt: string) =>
      gateway.call("POST", `${KV}/data/app/g`, { token: jwt, body: { data: { n: 1 } } });
    const statuses = await Promise.all(
      Array.from({ length: 40 }, async (_, i) => (await write(i % 2 ? reader : writer)).status),
    );
    expect(statuses).toEqual(statuses.map((_, i) => (i % 2 ? 403 : 200)));
  });
});

describe("other requests of stock clients", () => {
  test("the mounts, before each command of the vault program", async () => {
    const mount = await gateway.call("GET", "/v1/sys/internal/ui/mounts/secret/app/db", { token: token() });
    expect(mount.json.data).toMatchObject({ path: "secret/", type: "kv", options: { version: "2" } });
    expect((await gateway.call("GET", "/v1/sys/internal/ui/mounts", { token: token() })).status).toBe(200);
    expectErrors(await gateway.call("GET", "/v1/sys/internal/ui/mounts/other", { token: token() }), 403);
  });

  test("lookup-self: from the claims", async () => {
    const jwt = token("writer");
    for (const method of ["GET", "POST"]) {
      const { status, json } = await gateway.call(method, "/v1/auth/token/lookup-self", { token: jwt });
      expect(status).toBe(200);
      expect(json.data).toMatchObject({
        id: jwt,
        policies: ["writer"],
        type: "batch",
        renewable: false,
        path: "auth/jwt/login",
      });
      expect(json.data?.ttl).toBeGreaterThan(290);
      expect(Date.parse(String(json.data?.expire_time))).toBeGreaterThan(Date.now());
    }
  });

  test("init status, the caller's mounts, and the resultant ACL", async () => {
    for (const options of [{}, { token: token() }, { token: "x" }]) {
      const init = await gateway.call("GET", "/v1/sys/init", options);
      expect(init).toMatchObject({ status: 200, text: '{"initialized":true}' });
    }
    const { json } = await gateway.call("GET", "/v1/sys/mounts", { token: token() });
    expect(Object.keys(json.data ?? {})).toEqual(["secret/", "transit/"]);
    expect(json["secret/"]).toEqual(json.data?.["secret/"]);
    expect(json.data?.["secret/"]).toMatchObject({ type: "kv", options: { version: "2" } });
    expectErrors(await gateway.call("GET", "/v1/sys/mounts", { token: "x" }), 403);
    const acl = await gateway.call("GET", "/v1/sys/internal/ui/resultant-acl", { token: token() });
    expect(acl.json.data).toMatchObject({
      root: false,
      glob_paths: { "secret/data/": { capabilities: ["read"] } },
    });
  });

  test("health and seal status: about the gateway to anyone, about the org's Vault to a member", async () => {
    const own = await gateway.call("GET", "/v1/sys/health?standbyok=true&sealedcode=299");
    expect(own).toMatchObject({ status: 200, json: { sealed: false, cluster_name: "strongroom-gateway" } });
    // Nothing that counts changes.
    expect(own.json).toMatchObject({
      directory: { loaded: true, refused: null },
      revocations: { loaded: true, refused: null },
    });
    expect(own.text).not.toMatch(/"version":\s*[0-9]/);
    expect(await gateway.call("HEAD", "/v1/sys/health")).toMatchObject({ status: 200, text: "" });
    expect(await gateway.call("GET", "/v1/sys/seal-status")).toMatchObject({
      status: 200,
      json: { sealed: false },
    });

    const org = await gateway.call("GET", "/v1/sys/health", { token: token() });
    expect(org.json).toMatchObject({ initialized: true, sealed: false });
    expect(org.json.cluster_name).toMatch(/^vault-cluster-/);
    const seal = await gateway.call("GET", "/v1/sys/seal-status", { token: token() });
    expect(seal.json).toMatchObject({ type: "transit", sealed: false, storage_type: "raft" });
    expectErrors(await gateway.call("GET", "/v1/sys/health", { token: "x" }), 403);

    for (const options of [{}, { token: token() }]) {
      const leader = await gateway.call("GET", "/v1/sys/leader", options);
      expect(leader).toMatchObject({ status: 200, json: { ha_enabled: false, leader_address: "" } });
    }
  });
});

test("one log line a request, linked to Vault's audit log by the request id, without path, person or token", async () => {
  const jwt = token(undefined, "auth0|lovelace");
  const answer = await gateway.call("GET", `${KV}/data/very/private`, { token: jwt });
  const requestId = answer.headers["x-request-id"];
  const lines = gateway.log().filter((line) => line.requestId === requestId);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatchObject({ method: "GET", route: "secret/data", status: 404, org: acme.org });
  expect(lines[0]).toMatchObject({ decision: "allowed", reason: "answer_404" });
  expect(lines[0]?.subject).toMatch(/^[0-9a-f]{16}$/);
  expect(lines[0]?.upstreamMs).toBeGreaterThan(0);
  const log = JSON.stringify(gateway.log());
  for (const secret of ["very", "private", "lovelace", jwt.split(".")[1], jwt.split(".")[2]]) {
    expect(log).not.toContain(secret);
  }
  expect(await readFile(`${acme.dir}/audit-1.log`, "utf8")).toContain(String(requestId));
});

describe("an unavailable Vault", () => {
  test("sealed or down: one try, 503, Retry-After; served at once after recovery", {
    timeout: 90_000,
  }, async () => {
    const path = `${KV}/data/app/down`;
    const writer = token("writer", "down");
    await gateway.call("POST", path, { token: writer, body: { data: { a: 1 } } });
    await acme.root.write("sys/seal");
    const sealed = await gateway.call("GET", path, { token: writer });
    expectErrors(sealed, 503);
    expect(sealed.headers["retry-after"]).toBe("1");
    // A Vault that is being sealed shows itself as a standby for a moment. One that was initialized seconds ago may
    // unseal itself once more: until it has done so once, its server tries every five seconds.
    await expect
      .poll(async () => {
        const health = await gateway.call("GET", "/v1/sys/health", { token: writer });
        if (health.status === 200) await acme.root.write("sys/seal");
        return health;
      })
      .toMatchObject({ status: 503, json: { sealed: true } });
    await acme.restart({ signal: "SIGKILL" });
    await expect.poll(async () => (await gateway.call("GET", path, { token: writer })).status).toBe(200);
  });
});
