import { createHmac, generateKeyPairSync, hash } from "node:crypto";
import { decodeProtectedHeader, jwtVerify } from "jose";
import { describe, expect, test } from "vitest";
import type { Injection } from "../../../../services/shared/broker/inject.ts";
import {
  needsBody,
  prepareRequest,
  type Unprepared,
} from "../../../../services/worker/broker/inject/prepare.ts";
import type { UseFailure } from "../../../../services/worker/broker/use-failure.ts";
import { Scrubber } from "../../../../services/worker/scrub/scrubber.ts";

const SECRET = "tiger-42/secret+value";
const NOW = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const NOW_SECONDS = Math.floor(NOW / 1000);
const GET: Unprepared = { method: "GET", path: "/v1/things?a=1", headers: [["Accept", "text/plain"]] };

const prepared = (
  inject: Injection,
  request: Partial<Unprepared> = {},
  value: string | Uint8Array = SECRET,
  token?: string,
) =>
  prepareRequest(
    { origin: "https://api.example.com:8443", inject, rules: [] },
    typeof value === "string" ? Buffer.from(value) : value,
    { ...GET, ...request },
    NOW,
    token,
  );

const refused = async (made: Promise<unknown>): Promise<UseFailure> =>
  await made.then(
    () => expect.unreachable("it was not refused"),
    (error: UseFailure) => error,
  );

/** An answer that echoes any of these texts has nothing of them left. */
function expectScrubbed(secrets: Uint8Array[], ...texts: (string | Buffer)[]): void {
  const scrubber = new Scrubber(secrets);
  for (const text of texts.map((each) => each.toString())) {
    const scrubbed = scrubber.scrub(Buffer.from(`<${text}>`)).toString();
    expect(scrubbed).toMatch(/\[removed\]>$/);
    expect(scrubbed).not.toContain(text);
  }
}

const HMAC = { header: "X-Sign", format: "v1={}", algorithm: "sha256", encoding: "hex" } as const;

test("a body is needed only by what signs it", () => {
  const hmac = (template: string): Injection => ({ hmac: { ...HMAC, template } });
  expect(needsBody({ sigv4: { service: "s3", region: "x" } })).toBe(true);
  expect(needsBody(hmac("{timestamp}.{body}"))).toBe(true);
  expect(needsBody(hmac("{method}\n{body-sha256}"))).toBe(true);
  expect(needsBody(hmac("{method}{path}"))).toBe(false);
  expect(needsBody({ header: "X-Key", format: "{}" })).toBe(false);
  expect(needsBody({ basic: { user: "u" } })).toBe(false);
});

describe("header", () => {
  const bearer = { header: "Authorization", format: "Bearer {}" };

  test("has the value by its format, whatever the caller sent in it", async () => {
    const headers: [string, string][] = [
      ["X-A", "1"],
      ["authorization", "Bearer mine"],
      ["X-B", "2"],
    ];
    const made = await prepared(bearer, { headers });
    expect(made).toMatchObject({
      path: GET.path,
      headers: [
        ["X-A", "1"],
        ["X-B", "2"],
        ["Authorization", `Bearer ${SECRET}`],
      ],
    });
    expect(made.inUrl).toBeUndefined();
    expectScrubbed(made.secrets, SECRET, `Bearer ${SECRET}`);
  });

  test("of the scheme Basic: the pair and the password are secrets, too", async () => {
    const pair = Buffer.from(`user:${SECRET}`).toString("base64");
    const { secrets } = await prepared({ header: "Authorization", format: "Basic {}" }, {}, pair);
    expectScrubbed(secrets, pair, `user:${SECRET}`, SECRET);
  });

  test.each([
    "Host",
    "Content-Length",
    "Cookie",
    "Transfer-Encoding",
    "X-Forwarded-For",
  ])("may not be %s", async (header) => {
    expect(await refused(prepared({ header, format: "{}" }))).toMatchObject({ failure: "malformed" });
  });

  test.each([
    ["a line break", `${SECRET}\r\nX-Evil: 1`],
    ["a control character", `${SECRET}\u0001`],
    ["a space at its end", `${SECRET} `],
    ["another alphabet", `${SECRET}é`],
    ["too few characters", "tiger"],
    ["too many", SECRET.repeat(1_000)],
    ["nothing", ""],
  ])("a value with %s is refused without a word of it", async (_, value) => {
    const failure = await refused(prepared(bearer, {}, value));
    expect(failure.failure).toBe("unusable_value");
    expect(failure.message).not.toMatch(/tiger|Evil/);
  });
});

describe("basic", () => {
  test("has the value as password", async () => {
    const { headers, secrets } = await prepared({ basic: { user: "üser" } }, {}, `${SECRET}:é`);
    const pair = `üser:${SECRET}:é`;
    const encoded = Buffer.from(pair).toString("base64");
    expect(headers.at(-1)).toEqual(["Authorization", `Basic ${encoded}`]);
    expectScrubbed(secrets, SECRET.concat(":é"), encoded, Buffer.from(encoded).toString("base64"));
  });

  test("refuses control characters", async () => {
    expect(await refused(prepared({ basic: { user: "u" } }, {}, "secret\nsecret"))).toMatchObject({
      failure: "unusable_value",
    });
  });
});

describe("query", () => {
  test.each([
    ["/v1", "/v1?key=tiger-42%2Fsecret%2Bvalue"],
    ["/v1?", "/v1?key=tiger-42%2Fsecret%2Bvalue"],
    ["/v1?a=1&b", "/v1?a=1&b&key=tiger-42%2Fsecret%2Bvalue"],
  ])("%s becomes %s", async (path, expected) => {
    const made = await prepared({ query: "key" }, { path });
    expect(made).toMatchObject({ path: expected, headers: GET.headers, inUrl: true });
    const encoded = encodeURIComponent(SECRET);
    expectScrubbed(made.secrets, SECRET, encoded, encodeURIComponent(encoded));
  });

  test.each([
    "/v1?key=mine",
    "/v1?a=1&k%65y=mine",
    "/v1?key",
  ])("the caller may not set the member: %s", async (path) => {
    expect(await refused(prepared({ query: "key" }, { path }))).toMatchObject({
      failure: "not_allowed",
      parts: { part: "query" },
    });
  });
});

describe("path prefix", () => {
  test.each([
    ["/bot{}", "123456:ABC-def", "/getMe?x=1", "/bot123456:ABC-def/getMe?x=1"],
    ["/bot{}/", "123456:ABC-def", "/getMe", "/bot123456:ABC-def/getMe"],
    ["/services/{}", "T000/B000/xyz", "/", "/services/T000/B000/xyz"],
    ["/services/{}", "T000/B000/xyz", "/?a=1", "/services/T000/B000/xyz?a=1"],
    ["/k/{}", 'a b?c#d%e"f', "/x", "/k/a%20b%3Fc%23d%25e%22f/x"],
  ])("%s", async (pathPrefix, value, path, expected) => {
    const made = await prepared({ pathPrefix }, { path }, value);
    expect(made).toMatchObject({ path: expected, inUrl: true });
    expectScrubbed(made.secrets, value);
  });

  test.each([
    "../../admin",
    "abc/../defg",
    "abcd//efgh",
    "/abcdefgh",
    "abcdefg/./",
  ])("a value that would be read as another path is refused: %s", async (value) => {
    const failure = await refused(prepared({ pathPrefix: "/x/{}/y" }, {}, value));
    expect(failure).toMatchObject({ failure: "unusable_value" });
  });
});

describe("hmac", () => {
  const template = "{method}\n{path}\n{query}\n{host}\n{timestamp}\n{body-sha256}\n{body}";
  const body = Buffer.from([0xff, 0, 0x0a, 0x7b]);

  test.each([
    ["sha256", "hex", "seconds", String(NOW_SECONDS)],
    ["sha512", "base64", "milliseconds", String(NOW)],
    ["sha256", "base64url", "rfc3339", "2026-01-02T03:04:05Z"],
  ] as const)("%s, %s, %s", async (algorithm, encoding, unit, time) => {
    const timestamp = { header: "X-Time", unit } as const;
    const { headers, secrets, path } = await prepared(
      { hmac: { ...HMAC, algorithm, encoding, template, timestamp } },
      {
        method: "POST",
        body,
        headers: [
          ["x-sign", "mine"],
          ["X-TIME", "mine"],
        ],
      },
    );
    const signed = Buffer.concat([
      Buffer.from(`POST\n/v1/things\na=1\napi.example.com:8443\n${time}\n${hash("sha256", body)}\n`),
      body,
    ]);
    const signature = createHmac(algorithm, SECRET).update(signed).digest(encoding);
    expect(headers).toEqual([
      ["X-Sign", `v1=${signature}`],
      ["X-Time", time],
    ]);
    expect(path).toBe(GET.path);
    expect(JSON.stringify(headers)).not.toContain(SECRET);
    expectScrubbed(secrets, SECRET, signature);
  });

  test("without a query and a body, both are empty", async () => {
    const { headers } = await prepared({ hmac: { ...HMAC, template: "[{query}|{body}|{a" } }, { path: "/x" });
    expect(headers.at(-1)?.[1]).toBe(`v1=${createHmac("sha256", SECRET).update("[||{a").digest("hex")}`);
  });

  test("what a template puts in is not read as a template", async () => {
    const { headers } = await prepared({ hmac: { ...HMAC, template: "{path}" } }, { path: "/{method}" });
    expect(headers.at(-1)?.[1]).toBe(`v1=${createHmac("sha256", SECRET).update("/{method}").digest("hex")}`);
  });

  test.each(["{secret}", "{timestamp}", "{constructor}"])("the template %s is refused", async (bad) => {
    const failure = await refused(prepared({ hmac: { ...HMAC, template: bad } }));
    expect(failure).toMatchObject({ failure: "malformed" });
  });
});

describe("jwt", () => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const ed = generateKeyPairSync("ed25519");
  const pkcs8 = { type: "pkcs8", format: "pem" } as const;
  const jwt = (algorithm: "RS256" | "ES256" | "EdDSA" | "HS256"): Injection => ({
    jwt: {
      ...{ header: "Authorization", format: "Bearer {}", algorithm, keyId: "k1", lifetimeSeconds: 60 },
      claims: { iss: "app", aud: "https://api.example.com", exp: "never", jti: "mine" },
    },
  });

  test.each([
    ["RS256", rsa.privateKey.export(pkcs8), rsa.publicKey],
    ["RS256", rsa.privateKey.export({ type: "pkcs1", format: "pem" }), rsa.publicKey],
    ["ES256", ec.privateKey.export(pkcs8), ec.publicKey],
    ["ES256", ec.privateKey.export({ type: "sec1", format: "pem" }), ec.publicKey],
    ["EdDSA", ed.privateKey.export(pkcs8), ed.publicKey],
    ["HS256", SECRET.repeat(2), Buffer.from(SECRET.repeat(2))],
  ] as const)("%s: signed for a minute, and the key is not sent", async (algorithm, value, publicKey) => {
    const { headers, secrets } = await prepared(jwt(algorithm), {}, value);
    const token = headers.at(-1)?.[1].replace("Bearer ", "") ?? "";
    const { payload } = await jwtVerify(token, publicKey, {
      currentDate: new Date(NOW),
      algorithms: [algorithm],
    });
    expect(payload).toMatchObject({ iss: "app", iat: NOW_SECONDS, exp: NOW_SECONDS + 60 });
    expect(payload.jti).toMatch(/^[0-9a-f-]{36}$/);
    expect(decodeProtectedHeader(token)).toEqual({ alg: algorithm, typ: "JWT", kid: "k1" });
    expectScrubbed(secrets, token, value);
    const again = await prepared(jwt(algorithm), {}, value);
    expect(again.headers).not.toEqual(headers);
  });

  test("each line of the key is a secret, and all of them without their breaks", async () => {
    const value = ec.privateKey.export(pkcs8).toString();
    const { secrets } = await prepared(jwt("ES256"), {}, value);
    const [, first = "", second = ""] = value.split("\n");
    expectScrubbed(secrets, first, second, first + second);
  });

  test.each([
    ["RS256", "no PEM at all"],
    ["RS256", ec.privateKey.export(pkcs8)],
    ["RS256", generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey.export(pkcs8)],
    ["ES256", generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey.export(pkcs8)],
    ["ES256", ec.publicKey.export({ type: "spki", format: "pem" })],
    ["EdDSA", rsa.privateKey.export(pkcs8)],
    ["EdDSA", ed.privateKey.export({ ...pkcs8, cipher: "aes-256-cbc", passphrase: "x" })],
    ["HS256", "short"],
  ] as const)("%s refuses another key, without a word of it", async (algorithm, value) => {
    const failure = await refused(prepared(jwt(algorithm), {}, value));
    expect(failure.failure).toBe("unusable_value");
    expect(String(failure)).not.toMatch(/MII|BEGIN|short"/);
  });
});

describe("token", () => {
  const inject: Injection = { token: { header: "Authorization", format: "Bearer {}" } };

  test("sends the access token, and not the value", async () => {
    const { headers, secrets } = await prepared(inject, {}, SECRET, "access-token-1");
    expect(headers.at(-1)).toEqual(["Authorization", "Bearer access-token-1"]);
    expect(JSON.stringify(headers)).not.toContain(SECRET);
    expectScrubbed(secrets, "access-token-1", SECRET);
  });

  test("is needed", async () => {
    expect(await refused(prepared(inject))).toMatchObject({ failure: "token_needed" });
  });
});
