import { createHmac } from "node:crypto";
import { afterAll, beforeEach, describe, expect } from "vitest";
import { Secret } from "../../services/shared/secret.ts";
import { VaultError } from "../../services/shared/vault/client.ts";
import { loginWithJwt } from "../../services/shared/vault/platform-jwt.ts";
import { test } from "../harness/fixtures.ts";
import { type Answer, startGateway, type TestGateway } from "../harness/gateway.ts";
import type { Recorder } from "../harness/recorder.ts";
import {
  compact,
  encode,
  newPair,
  publicPem,
  respell,
  startIssuer,
  type TestIssuer,
  tamper,
} from "../harness/tokens.ts";
import type { InternalVault, OrgVault } from "../harness/vault.ts";

let internal: InternalVault;
let issuer: TestIssuer;
let other: TestIssuer;
let acme: OrgVault;
/** Where the gateway sends what is for acme: nothing of all this may reach it. */
let recorder: Recorder;
let gateway: TestGateway;
test.beforeAll(async ({ org, recordedOrg }) => {
  ({ internal, issuer, acme } = org);
  ({ recorder } = recordedOrg);
  other = await startIssuer({ issuer: "https://other.example/", audience: "https://other.example/api" });
  const orgs = [{ id: recorder.org, claim: "org_acme", address: recorder.address }];
  gateway = await startGateway({ issuers: [issuer, other], ca: internal.ca, orgs });
});
afterAll(async () => {
  await gateway?.close();
  await other?.close();
});
beforeEach(() => recorder.clear());

const PATH = "/v1/secret/data/app/db";
/** As Vault says it. */
const INVALID = "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n";
const seconds = () => Math.floor(Date.now() / 1000);

/** Vault's form, a challenge, and nothing of the token or of the reason. */
function expectUnauthenticated(answer: Answer, token = "", status: 401 | 403 = 403): void {
  expect(answer).toMatchObject({ status, headers: { "content-type": "application/json" } });
  expect(answer.headers["www-authenticate"]).toMatch(/^Bearer/);
  expect(answer.json).toEqual({ errors: [status === 401 ? "This needs a valid token." : INVALID] });
  for (const part of token.split(".").filter((each) => each.length > 8)) {
    expect(answer.text).not.toContain(part);
    expect(JSON.stringify(answer.headers)).not.toContain(part);
    expect(JSON.stringify(gateway.log())).not.toContain(part);
  }
}

/** What acme's own Vault says to a JWT that comes to it directly. */
async function straightToVault(jwt: string): Promise<"accepts" | "refuses"> {
  try {
    await loginWithJwt(acme.endpoint, "jwt", "reader", new Secret(jwt));
    return "accepts";
  } catch (error) {
    expect(error).toBeInstanceOf(VaultError);
    return "refuses";
  }
}

function hmac(secret: string): string {
  const input = `${encode({ alg: "HS256", typ: "JWT", kid: issuer.pair.kid })}.${encode(issuer.claims())}`;
  return `${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`;
}

/**
 * Each JWT that the gateway refuses, with what acme's Vault, asked directly, says to it. Where Vault
 * accepts one, the gateway's check is the stricter; such a JWT is signed by the issuer all the same.
 */
const HOSTILE: [name: string, vault: "accepts" | "refuses", make: () => string][] = [
  ["unsigned", "refuses", () => `${encode({ alg: "none" })}.${encode(issuer.claims())}.`],
  [
    "unsigned, with a kid",
    "refuses",
    () => `${encode({ alg: "none", kid: issuer.pair.kid })}.${encode(issuer.claims())}.`,
  ],
  ["alg none, signed", "refuses", () => issuer.token({}, { alg: "none" })],
  ["algorithm confusion: HS256 by the public key", "refuses", () => hmac(publicPem(issuer.pair))],
  ["algorithm confusion: RS512 on an RS256 signature", "refuses", () => issuer.token({}, { alg: "RS512" })],
  ["algorithm confusion: PS256", "refuses", () => issuer.token({}, { alg: "PS256" })],
  [
    "algorithm confusion: ES256",
    "refuses",
    () => compact({ alg: "ES256", kid: issuer.pair.kid }, issuer.claims(), newPair("ES256")),
  ],
  ["tampered payload", "refuses", () => tamper(issuer.token(), 1)],
  ["tampered signature", "refuses", () => tamper(issuer.token(), 2)],
  [
    "another's signature",
    "refuses",
    () => compact({ alg: "RS256", kid: issuer.pair.kid }, issuer.claims(), newPair()),
  ],
  [
    "a key in its own header",
    "refuses",
    () => {
      const pair = newPair();
      const jwk = pair.publicKey.export({ format: "jwk" });
      return compact({ alg: "RS256", kid: issuer.pair.kid, jwk }, issuer.claims(), pair);
    },
  ],
  ["unknown critical member", "refuses", () => issuer.token({}, { crit: ["x"], x: 1 })],
  ["unknown kid", "accepts", () => issuer.token({}, { kid: "unknown" })],
  ["no kid", "accepts", () => compact({ alg: "RS256", typ: "JWT" }, issuer.claims(), issuer.pair)],
  ["expired", "refuses", () => issuer.token({ iat: seconds() - 600, exp: seconds() - 300 })],
  ["expired a moment ago", "refuses", () => issuer.token({ iat: seconds() - 600, exp: seconds() - 2 })],
  ["no exp", "refuses", () => issuer.token({ exp: undefined })],
  ["exp as text", "refuses", () => issuer.token({ exp: String(seconds() + 300) })],
  ["not yet valid", "refuses", () => issuer.token({ nbf: seconds() + 60 })],
  ["issued in the future", "refuses", () => issuer.token({ iat: seconds() + 60 })],
  ["no iat", "refuses", () => issuer.token({ iat: undefined })],
  ["too long-lived", "accepts", () => issuer.token({ exp: seconds() + 24 * 3600 })],
  ["wrong issuer", "refuses", () => issuer.token({ iss: "https://evil.example/" })],
  ["issuer without its slash", "refuses", () => issuer.token({ iss: issuer.issuer.issuer.slice(0, -1) })],
  ["no issuer", "refuses", () => issuer.token({ iss: undefined })],
  [
    "another issuer's token in this issuer's name",
    "refuses",
    () => other.token({ iss: issuer.issuer.issuer, aud: issuer.issuer.audience }),
  ],
  ["wrong audience", "refuses", () => issuer.token({ aud: "https://other.example/api" })],
  ["no audience", "refuses", () => issuer.token({ aud: undefined })],
  ["numeric audience", "refuses", () => issuer.token({ aud: 1 })],
  ["no subject", "refuses", () => issuer.token({ sub: undefined })],
  ["numeric subject", "refuses", () => issuer.token({ sub: 1 })],
  ["org claim absent", "refuses", () => issuer.token({ org_id: undefined })],
  ["org claim a list", "refuses", () => issuer.token({ org_id: ["org_acme"] })],
  ["org claim a list of two", "refuses", () => issuer.token({ org_id: ["org_globex", "org_acme"] })],
  ["org claim an object", "refuses", () => issuer.token({ org_id: { org_acme: true } })],
  ["org claim a number", "refuses", () => issuer.token({ org_id: 1 })],
  ["org claim null", "refuses", () => issuer.token({ org_id: null })],
  [
    "org claim twice",
    "refuses",
    () => {
      const claims = JSON.stringify(issuer.claims()).replace("{", '{"org_id":"org_globex",');
      return compact({ alg: "RS256", typ: "JWT", kid: issuer.pair.kid }, claims, issuer.pair);
    },
  ],
  ["groups as text", "accepts", () => issuer.token({ [issuer.issuer.groupsClaim]: "admin" })],
  ["padded base64", "accepts", () => `${issuer.token()}==`],
  ["white space inside", "accepts", () => issuer.token().replace(".", ". ")],
  ["a line break inside", "accepts", () => issuer.token().replace(".", ".\n")],
  ["four parts", "refuses", () => `${issuer.token()}.x`],
  ["an encrypted token", "refuses", () => `${encode({ alg: "dir", enc: "A128GCM" })}..a.b.c`],
  ["a Vault token", "refuses", () => "hvs.CAESIJ0000000000000000000000000000"],
  [
    "a signed JSON document",
    "refuses",
    () => JSON.stringify({ payload: encode(issuer.claims()), signature: "x" }),
  ],
  ["too large", "accepts", () => issuer.token({ padding: "x".repeat(8_000) })],
];

describe("refused with 403, and nothing reaches any Vault", () => {
  test.each(HOSTILE)("%s", async (_name, _vault, make) => {
    const token = make();
    for (const header of ["authorization", "x-vault-token"]) {
      // Node's client sends no line breaks; what it cannot send goes as bytes below.
      if (/[\n\r]/.test(token)) continue;
      const value = header === "authorization" ? `Bearer ${token}` : token;
      // With a space in it, the header has no bearer token at all.
      const status = header === "authorization" && /\s/.test(token) ? 401 : 403;
      expectUnauthenticated(await gateway.call("GET", PATH, { headers: { [header]: value } }), token, status);
    }
    expect(recorder.connections).toBe(0);
  });

  test("a signature with its unused bits set", async () => {
    const es = await startIssuer({ issuer: "https://es.example/" }, newPair("ES256"));
    const orgs = [{ id: recorder.org, claim: "org_acme", address: recorder.address }];
    const own = await startGateway({ issuers: [es], ca: internal.ca, orgs });
    try {
      const token = es.token();
      expect((await own.call("GET", PATH, { token })).status).toBe(200);
      recorder.clear();
      const spelled = respell(token) ?? "";
      expect(spelled).not.toBe(token);
      expect((await own.call("GET", PATH, { token: spelled })).status).toBe(403);
      expect(recorder.requests).toEqual([]);
    } finally {
      await own.close();
      await es.close();
    }
  });

  test("no token, an empty one, another scheme: 401", async () => {
    const token = issuer.token();
    expectUnauthenticated(await gateway.call("GET", PATH), "", 401);
    const headers = [
      { "x-vault-token": "" },
      { authorization: "" },
      { authorization: "Bearer" },
      { authorization: `Basic ${token}` },
      { authorization: token },
      { authorization: `Bearer ${token} ${token}` },
      { cookie: `token=${token}` },
      { "x-vault-aws-iam-server-id": token },
    ];
    for (const each of headers)
      expectUnauthenticated(await gateway.call("GET", PATH, { headers: each }), token, 401);
    expectUnauthenticated(await gateway.call("POST", PATH, { body: { data: {}, token } }), "", 401);
    expect(recorder.connections).toBe(0);
  });

  test("two different tokens in two headers, and a header twice", async () => {
    const [a, b] = [issuer.token({ sub: "a" }), issuer.token({ sub: "b" })];
    const both = { authorization: `Bearer ${a}`, "x-vault-token": b };
    expectUnauthenticated(await gateway.call("GET", PATH, { headers: both }), a);
    for (const name of ["Authorization: Bearer ", "X-Vault-Token: "]) {
      for (const second of [a, b]) {
        const answer = await gateway.raw(
          `GET ${PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${name}${a}\r\n${name}${second}\r\n\r\n`,
        );
        expect(answer).toMatch(/^HTTP\/1\.1 403 /);
      }
    }
    expect(recorder.connections).toBe(0);
    const same = { authorization: `Bearer ${a}`, "x-vault-token": a };
    expect((await gateway.call("GET", PATH, { headers: same })).status).toBe(200);
  });
});

describe("acme's Vault, asked directly", () => {
  test.each(HOSTILE)("%s", async (_name, vault, make) => {
    expect(await straightToVault(make())).toBe(vault);
  });
});

describe("403: a good token of an organization that is not served", () => {
  test.each([
    ["an unknown one", { org_id: "org_unknown" }],
    ["one whose name only looks like acme's", { org_id: "ORG_ACME" }],
    ["one with a line break", { org_id: "org_acme\n" }],
    ["a path", { org_id: "../org_acme" }],
    ["a name of JavaScript's own", { org_id: "__proto__" }],
    ["the id in place of the claim", {}],
  ])("%s", async (_name, claims) => {
    const token = issuer.token(Object.keys(claims).length > 0 ? claims : { org_id: recorder.org });
    const answer = await gateway.call("GET", PATH, { token });
    expect(answer).toMatchObject({ status: 403, json: { errors: ["permission denied"] } });
    expect(answer.headers["content-type"]).toBe("application/json");
    expect(recorder.connections).toBe(0);
  });

  test("another issuer's org of the same name", async () => {
    const answer = await gateway.call("GET", PATH, { token: other.token() });
    expect(answer).toMatchObject({ status: 403, json: { errors: ["permission denied"] } });
    expect(recorder.connections).toBe(0);
  });

  test("a deleted one, from the moment the directory says so", async () => {
    const token = issuer.token();
    expect((await gateway.call("GET", PATH, { token })).status).toBe(200);
    recorder.clear();
    await gateway.publish([], { deleted: [recorder.org] });
    expect((await gateway.call("GET", PATH, { token })).status).toBe(403);
    expect(recorder.requests).toEqual([]);
    const again = { id: acme.org, claim: "org_acme", address: acme.endpoint.address };
    await gateway.publish([again], { deleted: [recorder.org] });
    expect((await gateway.call("GET", PATH, { token })).status).toBe(404);
    expect(recorder.requests).toEqual([]);
  });
});

describe("503: the issuer's keys cannot be had", () => {
  test("from an issuer never reached before, and only for its own tokens", async () => {
    const down = await startIssuer({ issuer: "https://down.example/" });
    await down.down();
    const orgs = [{ id: recorder.org, claim: "org_acme", address: recorder.address }];
    const own = await startGateway({ issuers: [issuer, down], ca: internal.ca, orgs });
    try {
      const answer = await own.call("GET", PATH, { token: down.token() });
      expect(answer).toMatchObject({ status: 503, headers: { "content-type": "application/json" } });
      expect(answer.headers["retry-after"]).toBe("1");
      expect(answer.json.errors).toHaveLength(1);
      expect(recorder.connections).toBe(0);
      expect((await own.call("GET", PATH, { token: issuer.token() })).status).toBe(200);
    } finally {
      await own.close();
      await down.close();
    }
  });
});
