import { createHash, createHmac } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { pino } from "pino";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { StrongroomError } from "../../../../services/shared/errors.ts";
import { registerIdentity } from "../../../../services/shared/front/identity/authenticator.ts";
import { TokenRefused } from "../../../../services/shared/front/identity/refused.ts";
import { requestToken } from "../../../../services/shared/front/identity/token.ts";
import { createServer } from "../../../../services/shared/http/server.ts";
import type { Issuer } from "../../../../services/shared/org.ts";
import {
  type Algorithm,
  compact,
  encode,
  newPair,
  publicPem,
  respell,
  type SigningPair,
  signature,
  startIssuer,
  type TestIssuer,
  tamper,
} from "../../../harness/tokens.ts";

const issuers: TestIssuer[] = [];
afterEach(async () => {
  await Promise.all(issuers.splice(0).map((issuer) => issuer.close()));
});

async function issuerOf(changes: Partial<Issuer> = {}, pair?: SigningPair): Promise<TestIssuer> {
  const issuer = await startIssuer(changes, pair);
  issuers.push(issuer);
  return issuer;
}

/** A server with one route that tells who asked; `shift` moves its clock, in milliseconds. */
function serverFor(list: () => readonly Issuer[]) {
  const clock = { shift: 0 };
  const app = createServer(pino({ level: "silent" }));
  const auth = registerIdentity(app, {
    issuers: list,
    logger: pino({ level: "silent" }),
    maxLifetimeSeconds: 3600,
    now: () => Date.now() + clock.shift,
  });
  let last: unknown;
  app.get("/who", { config: { access: { open: "a test" } } }, async (request, reply) => {
    try {
      const { token, ...identity } = await auth.verify(requestToken(request.raw));
      last = { identity, token };
      const recalled = auth.recall(request.raw);
      expect(recalled).toEqual({ ...identity, token });
      expect(recalled?.token.reveal()).toBe(token.reveal());
      return { ...identity, token };
    } catch (error) {
      // Whatever is refused is not recalled either.
      expect(auth.recall(request.raw)).toBeUndefined();
      last = error;
      if (!(error instanceof StrongroomError)) throw error;
      return reply
        .code(error.status)
        .send({ reason: error instanceof TokenRefused ? error.reason : error.code });
    }
  });
  onTestFinished(() => app.close());
  const ask = async (headers: Record<string, string | string[]>) => {
    const response = await app.inject({ url: "/who", headers });
    return { status: response.statusCode, body: response.json() };
  };
  return {
    app,
    auth,
    clock,
    ask,
    bearer: (token: string) => ask({ authorization: `Bearer ${token}` }),
    last: () => last,
  };
}

async function world(alg: Algorithm = "RS256", changes: Partial<Issuer> = {}) {
  const issuer = await issuerOf(changes, newPair(alg));
  const list = [issuer.issuer];
  return { issuer, ...serverFor(() => list) };
}

describe("a valid token", () => {
  test.each<Algorithm>(["RS256", "ES256", "EdDSA"])("signed by %s is accepted", async (alg) => {
    const { issuer, bearer } = await world(alg);
    const { status, body } = await bearer(issuer.token({ sub: "u7" }));
    expect(status).toBe(200);
    expect(body).toMatchObject({ subject: "u7", org: "org_acme", groups: [], token: "[secret]" });
    expect(body.key).toMatch(/^[\w-]{43}$/);
    expect(body.subjectHash).toMatch(/^[0-9a-f]{16}$/);
  });

  test("is accepted in either header, or in both", async () => {
    const { issuer, ask } = await world();
    const token = issuer.token();
    expect((await ask({ "x-vault-token": token })).status).toBe(200);
    expect((await ask({ authorization: `bearer ${token}` })).status).toBe(200);
    expect((await ask({ authorization: `Bearer ${token}`, "x-vault-token": token })).status).toBe(200);
  });

  test("has one key, whatever its signature", async () => {
    const { issuer, bearer } = await world("ES256");
    const input = issuer.token().split(".").slice(0, 2).join(".");
    const [a, b] = [signature(input, issuer.pair), signature(input, issuer.pair)];
    expect(a).not.toBe(b);
    const first = await bearer(`${input}.${a}`);
    const second = await bearer(`${input}.${b}`);
    expect(second.body.key).toBe(first.body.key);
  });
});

describe("401", () => {
  const cases: [string, string, (issuer: TestIssuer) => string][] = [
    [
      "tampered header",
      "token_form|kid_unknown|signature|token_header_member|kid_missing",
      (i) => tamper(i.token(), 0),
    ],
    ["tampered payload", "token_form|signature|issuer_unknown", (i) => tamper(i.token(), 1)],
    ["tampered signature", "signature", (i) => tamper(i.token(), 2)],
    [
      "signature of another token",
      "signature",
      (i) => {
        const [head, body] = i.token({ sub: "other" }).split(".");
        return `${head}.${body}.${i.token().split(".")[2]}`;
      },
    ],
    ["unsigned", "token_form", (i) => `${encode({ alg: "none", kid: i.pair.kid })}.${encode(i.claims())}.`],
    ["alg none with a signature", "algorithm_not_allowed", (i) => i.token({}, { alg: "none" })],
    ["alg nOnE", "algorithm_not_allowed", (i) => i.token({}, { alg: "nOnE" })],
    ["HS256 by the public key", "algorithm_not_allowed", (i) => hmacToken(i, publicPem(i.pair))],
    ["RS512, a key of the same kind", "algorithm_not_allowed", (i) => i.token({}, { alg: "RS512" })],
    ["PS256, a key of the same kind", "algorithm_not_allowed", (i) => i.token({}, { alg: "PS256" })],
    [
      "ES256 from an issuer of RS256",
      "algorithm_not_allowed",
      (i) => compact({ alg: "ES256", kid: i.pair.kid }, i.claims(), newPair("ES256")),
    ],
    [
      "another key under a known kid",
      "signature",
      (i) => compact({ alg: "RS256", kid: i.pair.kid }, i.claims(), newPair()),
    ],
    ["unknown kid", "kid_unknown", (i) => i.token({}, { kid: "other" })],
    ["no kid", "kid_missing", (i) => compact({ alg: "RS256" }, i.claims(), i.pair)],
    ["no issuer", "issuer_unknown", (i) => i.token({ iss: undefined })],
    ["unknown issuer", "issuer_unknown", (i) => i.token({ iss: "https://evil.example/" })],
    ["issuer without its slash", "issuer_unknown", (i) => i.token({ iss: "https://auth.strongroom.test" })],
    ["issuer in a list", "issuer_unknown", (i) => i.token({ iss: ["https://auth.strongroom.test/"] })],
    ["wrong audience", "audience", (i) => i.token({ aud: "https://other" })],
    ["numeric audience", "audience", (i) => i.token({ aud: 1 })],
    ["no audience", "audience", (i) => i.token({ aud: undefined })],
    ["no subject", "subject", (i) => i.token({ sub: undefined })],
    ["no exp", "times_missing", (i) => i.token({ exp: undefined })],
    ["exp as text", "times_missing", (i) => i.token({ exp: "9999999999" })],
    ["no iat", "times_missing", (i) => i.token({ iat: undefined })],
    ["expired", "expired", (i) => i.token({ exp: seconds() - 5, iat: seconds() - 60 })],
    [
      "expired fifty seconds ago, within others' leeway",
      "expired",
      (i) => i.token({ exp: seconds() - 50, iat: seconds() - 60 }),
    ],
    ["not yet valid", "not_yet_valid", (i) => i.token({ nbf: seconds() + 30 })],
    ["issued in the future", "issued_in_future", (i) => i.token({ iat: seconds() + 30 })],
    ["too long-lived", "lifetime_too_long", (i) => i.token({ exp: seconds() + 3700 })],
    ["org claim a list", "org_claim", (i) => i.token({ org_id: ["org_acme"] })],
    ["org claim an object", "org_claim", (i) => i.token({ org_id: {} })],
    ["org claim a number", "org_claim", (i) => i.token({ org_id: 5 })],
    ["not a JWT", "token_form", () => "hvs.CAESIJ"],
  ];
  test.each(cases)("%s", async (_name, expected, make) => {
    const { issuer, bearer } = await world();
    const { status, body } = await bearer(make(issuer));
    expect(status).toBe(401);
    expect(expected.split("|")).toContain(body.reason);
  });

  test("another spelling of the signature of a remembered token", async () => {
    const { issuer, bearer } = await world("ES256");
    const token = issuer.token();
    expect((await bearer(token)).status).toBe(200);
    const other = respell(token);
    expect(other).toBeDefined();
    if (other) expect(await bearer(other)).toMatchObject({ status: 401, body: { reason: "token_form" } });
  });

  test("a key that is too short", async () => {
    const short = newPair("RS256", "short", 1024);
    const issuer = await issuerOf({}, short);
    const list = [issuer.issuer];
    const { bearer } = serverFor(() => list);
    expect(await bearer(issuer.token())).toMatchObject({ status: 401, body: { reason: "key_unfit" } });
  });

  test("a key set with a secret key in it", async () => {
    const issuer = await issuerOf();
    const list = [issuer.issuer];
    issuer.keys = [{ ...issuer.pair, publicKey: issuer.pair.privateKey }];
    const { bearer } = serverFor(() => list);
    expect(await bearer(issuer.token())).toMatchObject({ status: 401, body: { reason: "key_unfit" } });
  });

  test("no header, a bad scheme, two headers, two tokens", async () => {
    const { issuer, ask } = await world();
    const token = issuer.token();
    const other = issuer.token({ sub: "u2" });
    expect((await ask({})).body.reason).toBe("token_missing");
    expect((await ask({ "x-vault-token": "" })).body.reason).toBe("token_missing");
    for (const scheme of [
      "",
      "Bearer",
      "Bearer ",
      `Basic ${token}`,
      token,
      `Bearer ${token} x`,
      `Bearer,${token}`,
    ]) {
      expect(await ask({ authorization: scheme })).toMatchObject({
        status: 401,
        body: { reason: "authorization_scheme" },
      });
    }
    const both = { authorization: `Bearer ${token}`, "x-vault-token": other };
    expect(await ask(both)).toMatchObject({ status: 401, body: { reason: "token_headers_differ" } });
    const emptyVaultToken = { authorization: `Bearer ${token}`, "x-vault-token": "" };
    expect((await ask(emptyVaultToken)).status).toBe(401);
  });

  test("issuer A's token for issuer B's audience, and A's name with B's key", async () => {
    const a = await issuerOf();
    const b = await issuerOf({ issuer: "https://b.example/", audience: "b" });
    const list = [a.issuer, b.issuer];
    const { bearer } = serverFor(() => list);
    expect((await bearer(a.token())).status).toBe(200);
    expect((await bearer(b.token())).status).toBe(200);
    expect((await bearer(a.token({ aud: "b" }))).status).toBe(401);
    expect((await bearer(b.token({ iss: a.issuer.issuer, aud: a.issuer.audience }))).status).toBe(401);
  });
});

describe("keys", () => {
  test("an unknown issuer's token causes no fetch", async () => {
    const { issuer, bearer } = await world();
    await bearer(issuer.token({ iss: "https://evil.example/" }));
    await bearer(issuer.token({}, { alg: "none" }));
    await bearer(issuer.token({}, { jku: issuer.issuer.jwksUri }));
    expect(issuer.fetches).toBe(0);
  });

  test("are fetched once for concurrent requests, and not again for an unknown kid within the cooldown", async () => {
    const { issuer, bearer } = await world();
    const tokens = Array.from({ length: 20 }, (_, i) => issuer.token({ sub: `u${i}` }));
    const answers = await Promise.all(tokens.map(bearer));
    expect(answers.map((answer) => answer.status)).toEqual(tokens.map(() => 200));
    for (let i = 0; i < 10; i++) await bearer(issuer.token({}, { kid: `x${i}` }));
    expect(issuer.fetches).toBe(1);
  });

  test("never fetched and unreachable: 503, retried soon; then trusted while the address is down", async () => {
    const { issuer, bearer, clock } = await world();
    await issuer.down();
    expect(await bearer(issuer.token())).toMatchObject({
      status: 503,
      body: { reason: "issuer_keys_unreachable" },
    });
    await issuer.up();
    clock.shift = 1_100;
    expect((await bearer(issuer.token())).status).toBe(200);
    await issuer.down();
    expect((await bearer(issuer.token({ sub: "u9" }))).status).toBe(200);
    expect(await bearer(issuer.token({}, { kid: "x" }))).toMatchObject({
      status: 401,
      body: { reason: "kid_unknown" },
    });
  });

  test("an unknown kid causes one fetch in 30 seconds, also while fetching fails", async () => {
    const { issuer, bearer } = await world();
    expect((await bearer(issuer.token())).status).toBe(200);
    issuer.answer = { keys: "none" };
    const began = Date.now();
    onTestFinished(() => void vi.useRealTimers());
    for (let second = 0; second <= 95; second += 5) {
      vi.useFakeTimers({ toFake: ["Date"], now: began + second * 1_000 + 100 });
      const kid = `x${second}`;
      expect(await bearer(issuer.token({}, { kid }))).toMatchObject({ status: 401 });
    }
    expect(issuer.fetches).toBe(1 + 3);
  });

  test("an address that returns no key set: 503", async () => {
    const issuer = await issuerOf();
    const list = [issuer.issuer];
    issuer.answer = { keys: "none" };
    const { bearer } = serverFor(() => list);
    expect((await bearer(issuer.token())).status).toBe(503);
  });

  test("not refreshed for a day are no longer trusted, nor are remembered tokens", async () => {
    const { issuer, bearer, clock } = await world();
    const exp = seconds() + 3600;
    const token = issuer.token({ exp });
    expect((await bearer(token)).status).toBe(200);
    await issuer.down();
    clock.shift = 24 * 3_600_000 + 1;
    expect((await bearer(token)).status).toBe(503);
  });
});

describe("a remembered token", () => {
  test("ends when it expires", async () => {
    const { issuer, bearer, clock } = await world();
    const token = issuer.token({ exp: seconds() + 60 });
    expect((await bearer(token)).status).toBe(200);
    clock.shift = 59_000;
    expect((await bearer(token)).status).toBe(200);
    clock.shift = 61_000;
    expect(await bearer(token)).toMatchObject({ status: 401, body: { reason: "expired" } });
  });

  test("ends when its issuer is no longer listed, or asks for another audience", async () => {
    const issuer = await issuerOf();
    let list: Issuer[] = [issuer.issuer];
    const { bearer } = serverFor(() => list);
    const token = issuer.token();
    expect((await bearer(token)).status).toBe(200);
    list = [{ ...issuer.issuer, audience: "other" }];
    expect((await bearer(token)).body.reason).toBe("audience");
    list = [];
    expect((await bearer(token)).body.reason).toBe("issuer_unknown");
    list = [issuer.issuer];
    expect((await bearer(token)).status).toBe(200);
  });

  test("ends when its key is no longer served", async () => {
    const issuer = await issuerOf();
    let list: Issuer[] = [issuer.issuer];
    const { bearer } = serverFor(() => list);
    const token = issuer.token();
    expect((await bearer(token)).status).toBe(200);
    issuer.keys = [newPair()];
    list = [];
    await bearer(token); // the keys of an issuer that has gone are dropped
    list = [issuer.issuer];
    expect((await bearer(token)).body.reason).toBe("kid_unknown");
  });

  test("is not stored itself", async () => {
    const { issuer, bearer, last } = await world();
    const token = issuer.token();
    await bearer(token);
    expect(JSON.stringify(last())).not.toContain(token.split(".")[2]);
  });
});

describe("the memory of verified tokens", () => {
  /** An authenticator whose signatures are taken for good, so that many tokens cost little. */
  async function trusting() {
    const issuer = await issuerOf({}, newPair("ES256"));
    const list = [issuer.issuer];
    const { app, auth, clock } = serverFor(() => list);
    await app.ready();
    const verify = vi.spyOn(app.jwt, "verify").mockImplementation((token: string) => {
      return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
    });
    const requestOf = (token: string) =>
      ({ rawHeaders: ["Authorization", `Bearer ${token}`] }) as unknown as IncomingMessage;
    const head = encode({ alg: "ES256", kid: issuer.pair.kid });
    const [iat, exp] = [seconds(), seconds() + 100];
    return {
      clock,
      exp,
      tokenOf: (sub: string) => `${head}.${encode(issuer.claims({ sub, iat, exp }))}.c2ln`,
      authenticate: (token: string) => auth.verify(token),
      recall: (token: string) => auth.recall(requestOf(token)),
      verifications: () => verify.mock.calls.length,
    };
  }

  test("verifies a token once, until it expires", async () => {
    const { tokenOf, authenticate, recall, verifications, clock, exp } = await trusting();
    vi.useFakeTimers({ toFake: ["Date"] });
    onTestFinished(() => void vi.useRealTimers());
    const token = tokenOf("u");
    expect(recall(token)).toBeUndefined();
    await authenticate(token);
    await authenticate(token);
    expect(verifications()).toBe(1);
    clock.shift = exp * 1000 - 1 - Date.now();
    expect(recall(token)?.subject).toBe("u");
    clock.shift += 1;
    expect(recall(token)).toBeUndefined();
    await expect(authenticate(token)).rejects.toThrow(expect.objectContaining({ reason: "expired" }));
  });

  test("has ten thousand entries; the oldest are dropped", async () => {
    const { tokenOf, authenticate, recall } = await trusting();
    for (let i = 0; i < 10_000; i++) await authenticate(tokenOf(`u${i}`));
    expect(recall(tokenOf("u0"))).toBeDefined();
    await authenticate(tokenOf("one more"));
    expect(recall(tokenOf("u0"))).toBeUndefined();
    for (const kept of ["u1", "u9999", "one more"]) expect(recall(tokenOf(kept))?.subject).toBe(kept);
  });
});

test("a token from elsewhere than a header is verified in the same way", async () => {
  const { issuer, app, auth } = await world();
  await app.ready();
  const token = issuer.token({ sub: "other" });
  expect((await auth.verify(token)).subject).toBe("other");
  await expect(auth.verify(tamper(token, 2))).rejects.toThrow(
    expect.objectContaining({ reason: "signature" }),
  );
});

test("logs identify a subject by a digest of it and its issuer", async () => {
  const a = await issuerOf();
  const b = await issuerOf({ issuer: "https://b.example/" });
  const list = [a.issuer, b.issuer];
  const { bearer } = serverFor(() => list);
  for (const issuer of [a, b]) {
    const digest = createHash("sha256").update(`${issuer.issuer.issuer}\nu1`).digest("hex").slice(0, 16);
    expect((await bearer(issuer.token())).body.subjectHash).toBe(digest);
  }
});

describe("an issuer's keys", () => {
  test("can be fetched before the first request; known ones are not fetched again", async () => {
    const a = await issuerOf();
    const b = await issuerOf({ issuer: "https://b.example/" });
    let list = [a.issuer];
    const { auth, bearer, clock } = serverFor(() => list);
    await auth.prefetchKeys();
    expect([a.fetches, b.fetches]).toEqual([1, 0]);
    clock.shift = 31_000; // they could be fetched again
    list = [a.issuer, b.issuer];
    await auth.prefetchKeys();
    expect([a.fetches, b.fetches]).toEqual([1, 1]);
    expect((await bearer(a.token())).status).toBe(200);
    expect(a.fetches).toBe(1);
  });

  test("stay across lists, and are no longer fetched once the issuer is removed or the server closed", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    onTestFinished(() => void vi.useRealTimers());
    const [a, b] = [await issuerOf(), await issuerOf({ issuer: "https://b.example/" })];
    let list = [a.issuer, b.issuer];
    const { app, auth } = serverFor(() => list);
    await auth.prefetchKeys();
    const timers = vi.getTimerCount();
    list = [a.issuer];
    await auth.prefetchKeys();
    expect(vi.getTimerCount()).toBe(timers - 1);
    expect([a.fetches, b.fetches]).toEqual([1, 1]);
    await app.close();
    expect(vi.getTimerCount()).toBe(timers - 2);
  });
});

test("a refusal tells every caller the same, and the log the reason", () => {
  const cause = new Error("why");
  expect(new TokenRefused("signature", cause)).toMatchObject({
    ...{ name: "TokenRefused", code: "unauthenticated", status: 401, message: "This needs a valid token." },
    ...{ reason: "signature", cause },
  });
});

const seconds = () => Math.floor(Date.now() / 1000);

/** The confusion of algorithms: the public key, which everyone has, taken for a shared secret. */
function hmacToken(issuer: TestIssuer, secret: string): string {
  const input = `${encode({ alg: "HS256", kid: issuer.pair.kid })}.${encode(issuer.claims())}`;
  return `${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`;
}
