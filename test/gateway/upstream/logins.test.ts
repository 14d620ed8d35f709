import type { ServerResponse } from "node:http";
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
  vi,
} from "vitest";
import { Logins } from "../../../services/gateway/upstream/logins.ts";
import { type Upstream, Upstreams } from "../../../services/gateway/upstream/upstreams.ts";
import type { Identity } from "../../../services/shared/front/identity/authenticator.ts";
import type { LoadedDirectory } from "../../../services/shared/front/published/directory-source.ts";
import { Secret } from "../../../services/shared/secret.ts";
import { type Recorded, type Recorder, startPlainRecorder } from "../../harness/recorder.ts";
import { ISSUER_ENTRY } from "../../harness/tokens.ts";

const issuer = ISSUER_ENTRY;

let recorder: Recorder;
let upstreams: Upstreams;
let upstream: Upstream;
let logins: Logins;
let now: number;
beforeAll(async () => {
  recorder = await startPlainRecorder();
});
afterAll(async () => {
  await recorder?.close();
});
beforeEach(() => {
  recorder.clear();
  let count = 0;
  recorder.answer = (_request, response) =>
    answer(response, 200, { auth: { client_token: `hvb.${++count}` } });
  now = Date.now();
  logins = new Logins({ maxKept: 3, now: () => now });
  upstreams = new Upstreams("");
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

test("a login uses the caller's own JWT, at its level, with the request's id", async () => {
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

test("a token is kept for up to 55 seconds from the start of its login", async () => {
  const begun = now;
  recorder.answer = (_request, response) => {
    now = begun + 10_000;
    answer(response, 200, { auth: { client_token: "hvb.slow" } });
  };
  await login("a");
  const kept = () => logins.kept(upstream, identity("a"))?.reveal();
  now = begun + 54_999;
  expect(kept()).toBe("hvb.slow");
  now = begun + 55_000;
  expect(kept()).toBeUndefined();
});

test("a forgotten token serves no further request, and others stay", async () => {
  await login("a");
  await login("b");
  logins.forget(recorder.org, identity("a"));
  logins.forget("another", identity("b"));
  expect(logins.size).toBe(1);
  expect(await login("a")).toBe("hvb.3");
  expect(await login("b")).toBe("hvb.2");
});

test("a token is kept for 55 seconds, but not beyond its JWT's expiry", async () => {
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

test("expired tokens are swept without a request", async () => {
  await login("a");
  await login("b", { expiresAt: now / 1000 + 10 });
  now += 10_001;
  logins.sweep();
  expect(logins.size).toBe(1);
  now += 44_998;
  logins.sweep();
  expect(logins.size).toBe(1);
  now += 1;
  logins.sweep();
  expect(logins.size).toBe(0);
});

test("the sweep runs every two seconds until closed; then nothing is kept", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  onTestFinished(() => void vi.useRealTimers());
  const swept = new Logins({ maxKept: 3, now: () => now });
  const logIn = (key: string) => swept.tokenFor(upstream, identity(key), "request-1");
  await logIn("a");
  now += 55_000;
  vi.advanceTimersByTime(1_999);
  expect(swept.size).toBe(1);
  vi.advanceTimersByTime(1);
  expect(swept.size).toBe(0);
  await logIn("b");
  swept.close();
  expect(swept.size).toBe(0);
  await logIn("c");
  now += 55_000;
  vi.advanceTimersByTime(10_000);
  expect(swept.size).toBe(1);
});

test("no more tokens are kept than allowed; the oldest are dropped", async () => {
  for (const key of ["a", "b", "c", "d"]) await login(key);
  expect(logins.size).toBe(3);
  expect(await login("d")).toBe("hvb.4");
  expect(await login("a")).toBe("hvb.5");
});

test("a renewed login evicts no other, and counts as the newest", async () => {
  await login("a", { expiresAt: now / 1000 + 10 });
  await login("b");
  await login("c");
  now += 10_000;
  expect(await login("a")).toBe("hvb.4");
  expect(await login("b")).toBe("hvb.2");
  await login("d");
  expect(await login("a")).toBe("hvb.4");
  expect(await login("c")).toBe("hvb.3");
  expect(logins.kept(upstream, identity("b"))).toBeUndefined();
});

test("a Vault at another address gets no token from the previous one", async () => {
  await login("a");
  const before = upstream;
  const moved = await startPlainRecorder(recorder.org);
  try {
    upstream = vaultAt(moved.address);
    expect(upstream).not.toBe(before);
    expect(await login("a")).toBe("hvb.recorder");
    expect(moved.requests).toHaveLength(1);
  } finally {
    await moved.close();
  }
});

test("nor does it wait for a login in progress there", async () => {
  const begun = Promise.withResolvers<ServerResponse>();
  recorder.answer = (_request, response) => begun.resolve(response);
  const old = login("a");
  const response = await begun.promise;
  const moved = await startPlainRecorder(recorder.org);
  try {
    upstream = vaultAt(moved.address);
    expect(await login("a")).toBe("hvb.recorder");
    answer(response, 200, { auth: { client_token: "hvb.old" } });
    expect(await old).toBe("hvb.old");
  } finally {
    await moved.close();
  }
});

describe("a failed login is not kept, is tried once, and reveals no reason", () => {
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
    [200, { auth: { client_token: "" } }, "org_vault_unavailable"],
    [200, "x".repeat(100_000), "org_vault_unavailable"],
  ])("%s %j", async (status, body, code) => {
    const good = recorder.answer;
    recorder.answer = (_request, response) => answer(response, status, body);
    const error = await login("a").catch((each) => each);
    expect(error.code).toBe(code);
    if (code === "org_vault_unavailable" && status === 200 && `${body}`.length < 100) {
      expect(error.message).toBe(
        "The organization's Vault returned an unusable response. Try again in a moment.",
      );
    }
    if (code === "forbidden") {
      expect(error).toMatchObject({ message: "permission denied", cause: `login ${status}` });
    }
    expect(`${error.message} ${error.stack}`).not.toMatch(/jwt-a|hvb\.|claim mismatch/);
    expect(recorder.requests).toHaveLength(1);
    recorder.answer = good;
    expect(await login("a")).toBe("hvb.1");
  });
});
