import type { ServerResponse } from "node:http";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { Logins, levelOf } from "../../services/gateway/login.ts";
import { type Upstream, Upstreams } from "../../services/gateway/upstreams.ts";
import type { LoadedDirectory } from "../../services/shared/directory/load.ts";
import type { Identity } from "../../services/shared/identity/identity.ts";
import { Secret } from "../../services/shared/secret.ts";
import { type Recorded, type Recorder, startRecorder } from "../harness/recorder.ts";
import { type InternalVault, startInternalVault } from "../harness/vault.ts";

const issuer = {
  issuer: "https://auth.strongroom.test/",
  audience: "api",
  jwksUri: "http://127.0.0.1:1/jwks",
  algorithms: ["RS256" as const],
  orgClaim: "org_id",
  groupsClaim: "groups",
};

let internal: InternalVault;
let recorder: Recorder;
let upstreams: Upstreams;
let upstream: Upstream;
let logins: Logins;
let now: number;
beforeAll(async () => {
  internal = await startInternalVault(inject("vaultBinary"));
  recorder = await startRecorder(internal);
});
afterAll(async () => {
  await recorder?.close();
  await internal?.stop();
});
beforeEach(() => {
  recorder.clear();
  let count = 0;
  recorder.answer = (_request, response) =>
    answer(response, 200, { auth: { client_token: `hvb.${++count}` } });
  now = Date.now();
  logins = new Logins({ maxKept: 3, now: () => now });
  upstreams = new Upstreams(internal.ca);
  upstream = vaultAt(recorder.address);
});
afterEach(async () => {
  logins.close();
  await upstreams.close();
});

/** The Vault as the directory has it at this address. */
function vaultAt(address: string): Upstream {
  const org = { id: recorder.org, issuer: issuer.issuer, claim: "org_acme", address };
  const directory: LoadedDirectory = {
    version: 1,
    issuers: [issuer],
    orgs: [org],
    find: () => org,
    byId: () => org,
  };
  return upstreams.of(org, directory);
}

const answer = (response: ServerResponse, status: number, body: object | string) =>
  response.writeHead(status).end(typeof body === "string" ? body : JSON.stringify(body));

function identity(key: string, changes: Partial<Identity> = {}): Identity {
  const seconds = now / 1000;
  return {
    ...{
      issuer,
      subject: "u",
      tokenId: undefined,
      org: "org_acme",
      groups: [],
      permissions: [],
      subjectHash: "0",
      key,
    },
    ...{ issuedAt: seconds, expiresAt: seconds + 600, token: new Secret(`jwt-${key}`) },
    ...changes,
  };
}

const login = async (key: string, changes?: Partial<Identity>) =>
  (await logins.tokenFor(upstream, identity(key, changes), "request-1")).reveal();

test("the level is the highest that the groups show", () => {
  expect(levelOf({ groups: [] })).toBe("reader");
  expect(levelOf({ groups: ["other", "Admin", "writers"] })).toBe("reader");
  expect(levelOf({ groups: ["writer"] })).toBe("writer");
  expect(levelOf({ groups: ["admin", "writer", "reader"] })).toBe("admin");
});

test("the caller's own JWT is shown, at the level it has, with the request's id", async () => {
  expect(await login("a", { groups: ["writer"] })).toBe("hvb.1");
  const [sent] = recorder.requests as [Recorded];
  expect(sent).toMatchObject({ method: "POST", url: "/v1/auth/jwt/login" });
  expect(JSON.parse(sent.body)).toEqual({ role: "writer", jwt: "jwt-a" });
  expect(sent.headers).toMatchObject({ "x-request-id": "request-1", "x-vault-request": "true" });
  expect(sent.headers["x-vault-token"]).toBeUndefined();
});

test("one login serves a JWT's further requests, and many at once", async () => {
  const tokens = await Promise.all(Array.from({ length: 50 }, () => login("a")));
  expect(new Set(tokens)).toEqual(new Set(["hvb.1"]));
  expect(await login("a")).toBe("hvb.1");
  expect(await login("b")).toBe("hvb.2");
  expect(recorder.requests).toHaveLength(2);
});

test("a token is kept for 55 seconds, and not beyond its JWT", async () => {
  await login("long");
  await login("short", { expiresAt: now / 1000 + 10 });
  now += 9_999;
  expect(await login("short")).toBe("hvb.2");
  now += 2;
  expect(await login("short")).toBe("hvb.3");
  expect(await login("long")).toBe("hvb.1");
  now += 45_000;
  expect(await login("long")).toBe("hvb.4");
});

test("what has ended is forgotten, without anyone asking for it", async () => {
  await login("a");
  await login("b", { expiresAt: now / 1000 + 10 });
  now += 10_001;
  logins.sweep();
  expect(logins.size).toBe(1);
  now += 45_000;
  logins.sweep();
  expect(logins.size).toBe(0);
});

test("no more are kept than allowed; the oldest go", async () => {
  for (const key of ["a", "b", "c", "d"]) await login(key);
  expect(logins.size).toBe(3);
  expect(await login("d")).toBe("hvb.4");
  expect(await login("a")).toBe("hvb.5");
});

test("a Vault at another address gets no token of the one before", async () => {
  await login("a");
  const before = upstream;
  const moved = await startRecorder(internal, recorder.org);
  try {
    upstream = vaultAt(moved.address);
    expect(upstream).not.toBe(before);
    expect(await login("a")).toBe("hvb.recorder");
    expect(moved.requests).toHaveLength(1);
  } finally {
    await moved.close();
  }
});

describe("a login that fails is not kept, is tried once, and is not told why", () => {
  test.each<[number, object | string, string]>([
    [400, { errors: ["error validating token: claim mismatch for org_id"] }, "forbidden"],
    [403, { errors: ["permission denied"] }, "forbidden"],
    [404, "", "org_vault_unavailable"],
    [500, { errors: ["internal"] }, "org_vault_unavailable"],
    [503, { errors: ["Vault is sealed"] }, "org_vault_sealed"],
    [307, "", "org_vault_unavailable"],
    [200, "{}", "org_vault_unavailable"],
    [200, "no JSON hvb.secret", "org_vault_unavailable"],
    [200, { auth: { client_token: 1 } }, "org_vault_unavailable"],
    [200, "x".repeat(100_000), "org_vault_unavailable"],
  ])("%s %j", async (status, body, code) => {
    const good = recorder.answer;
    recorder.answer = (_request, response) => answer(response, status, body);
    const error = await login("a").catch((each) => each);
    expect(error.code).toBe(code);
    expect(`${error.message} ${error.stack}`).not.toMatch(/jwt-a|hvb\.|claim mismatch/);
    expect(recorder.requests).toHaveLength(1);
    recorder.answer = good;
    expect(await login("a")).toBe("hvb.1");
  });
});
