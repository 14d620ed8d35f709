import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import type { Credential, SealingKeys } from "../../services/shared/api/credentials.ts";
import { makeSealingKeyPair, sealValue } from "../../services/shared/envelope/sealing.ts";
import { policyHash } from "../../services/shared/work/destination.ts";
import type { SealedValue } from "../../services/shared/work/messages.ts";
import { headerPolicy } from "../harness/credential-jobs.ts";
import { type CredentialPlatform, startCredentialPlatform } from "../harness/credentials.ts";
import { readStore } from "../harness/thief.ts";

/* Wrong and hostile requests to the intake as a process, over HTTP: what is refused, by which status, and nothing is stored. */

const VALUE = "sk_live_a-value-of-acme";
const GET = { method: "GET", path: "/v1/charges" } as const;

let platform: CredentialPlatform;
beforeAll(async () => {
  platform = await startCredentialPlatform(inject("vaultBinary"));
  await platform.putCredential("stripe", VALUE);
});
afterAll(() => platform?.stop());
beforeEach(() => platform.destination.clear());

const put = (name: string, body: unknown, headers: Record<string, string> = {}, token?: string) =>
  platform.api<Credential>("PUT", `/v1/credentials/${name}`, token, { body, headers });
const body = (changes: object = {}) => ({
  value: VALUE,
  destination: headerPolicy(platform.destination.origin),
  ...changes,
});
const destination = (changes: object) =>
  body({ destination: { ...headerPolicy(platform.destination.origin), ...changes } });
/** What is stored, but for what a read may write. */
const stored = () =>
  readStore(platform.storeFile).filter(({ partition }) => !partition.includes("last-used"));

describe("a credential that is refused is not stored, and the answer says what is wrong", () => {
  test.each<[string, number, () => unknown]>([
    ["a value of 7 bytes", 422, () => body({ value: "1234567" })],
    ["an empty value", 422, () => body({ value: "" })],
    ["a value over 64 KiB", 413, () => body({ value: "a".repeat(65_537) })],
    ["a value over any limit", 413, () => body({ value: "a".repeat(600_000) })],
    ["a value with a line break", 422, () => body({ value: `${VALUE}\nX: y` })],
    ["a value beyond ASCII", 422, () => body({ value: `${VALUE}é` })],
    ["a value that is a number", 400, () => body({ value: 12345678 })],
    ["a value and a sealed one", 400, () => body({ sealed: {}, version: 1 })],
    ["neither", 400, () => ({ destination: headerPolicy(platform.destination.origin) })],
    ["a member of its own", 400, () => body({ encrypted: true })],
    ["a level that is none", 400, () => body({ level: "root" })],
    ["another purpose", 400, () => body({ purpose: "webhook" })],
    ["an IPv4 address", 422, () => destination({ origin: "https://93.184.215.14" })],
    ["an IPv6 address", 422, () => destination({ origin: "https://[2606:2800:21f:cb07::1]" })],
    ["an address as one number", 422, () => destination({ origin: "https://2130706433" })],
    ["an address in hex", 422, () => destination({ origin: "https://0x7f.0.0.1" })],
    ["an address in octal", 422, () => destination({ origin: "https://0177.0.0.1" })],
    ["the machine's own name", 422, () => destination({ origin: "https://localhost" })],
    ["a port outside the list", 422, () => destination({ origin: "https://api.example.com:22" })],
    ["port 80", 422, () => destination({ origin: "https://api.example.com:80" })],
    ["the default port spelled out", 422, () => destination({ origin: "https://api.example.com:443" })],
    ["user information", 422, () => destination({ origin: "https://a@api.example.com" })],
    ["user and password", 422, () => destination({ origin: "https://a:b@api.example.com" })],
    ["a fragment", 422, () => destination({ origin: "https://api.example.com#a" })],
    ["a query", 422, () => destination({ origin: "https://api.example.com?a" })],
    ["a path", 422, () => destination({ origin: "https://api.example.com/v1" })],
    ["a final slash", 422, () => destination({ origin: "https://api.example.com/" })],
    ["a wildcard host", 422, () => destination({ origin: "https://*.example.com" })],
    ["a final dot", 422, () => destination({ origin: "https://api.example.com." })],
    ["an upper-case host", 422, () => destination({ origin: "https://API.example.com" })],
    ["a name beyond ASCII", 422, () => destination({ origin: "https://bücher.example" })],
    ["full-width digits", 422, () => destination({ origin: "https://１２７.0.0.1" })],
    ["http", 422, () => destination({ origin: "http://api.example.com" })],
    ["no scheme", 422, () => destination({ origin: "api.example.com" })],
    ["a backslash", 422, () => destination({ origin: "https://api.example.com\\@127.0.0.1" })],
    ["a line break", 422, () => destination({ origin: "https://api.example.com\r\nHost: a" })],
    ["a path with dot segments", 422, () => destination({ paths: ["/v1/../**"] })],
    ["a path with an encoded slash", 422, () => destination({ paths: ["/v1%2f**"] })],
    ["a wildcard inside a segment", 422, () => destination({ paths: ["/v1/a*"] })],
    ["a double wildcard in the middle", 422, () => destination({ paths: ["/**/admin"] })],
    ["a method that is none", 400, () => destination({ methods: ["CONNECT"] })],
    ["no method", 400, () => destination({ methods: [] })],
    ["the header Host", 422, () => destination({ inject: { header: "Host", format: "{}" } })],
    [
      "the header Transfer-Encoding",
      422,
      () => destination({ inject: { header: "Transfer-Encoding", format: "{}" } }),
    ],
    ["a format without a place", 400, () => destination({ inject: { header: "X-Key", format: "none" } })],
    ["a format with two places", 422, () => destination({ inject: { header: "X-Key", format: "{}{}" } })],
    [
      "a format with a line break",
      400,
      () => destination({ inject: { header: "X-Key", format: "{}\r\nA: b" } }),
    ],
    ["a webhook's signature", 422, () => destination({ inject: { signature: "standard-webhooks" } })],
  ])("%s: %i", async (_, status, wrong) => {
    const before = stored();
    const answer = await put("refused", wrong());
    expect(answer.status, answer.text).toBe(status);
    expect(answer.headers["content-type"]).toContain("application/problem+json");
    if (status === 422)
      expect(answer.body).toMatchObject({ errors: [{ pointer: expect.stringMatching(/^\/body\//) }] });
    expect(answer.text).not.toContain(VALUE);
    expect((await platform.api("GET", "/v1/credentials/refused")).status).toBe(404);
    expect(stored()).toEqual(before);
  });

  test.each([
    "UPPER",
    "a_b",
    "-a",
    "a".repeat(64),
    "@sealing-key",
    "%2e%2e",
    "a%2Fb",
    "a%00",
    "é",
  ])("the name %s: 400", async (name) => {
    const before = stored();
    const { status } = await put(encodeURI(decodeURIComponent(name)) === name ? name : name, body());
    expect([400, 404]).toContain(status);
    expect(stored()).toEqual(before);
  });

  test.each<[number, Record<string, string>, string]>([
    [400, { "content-type": "application/json" }, `{"value":"${VALUE}"`],
    [415, { "content-type": "text/plain" }, VALUE],
    [415, { "content-type": "application/x-www-form-urlencoded" }, `value=${VALUE}`],
    [400, { "content-type": "application/json" }, '{"__proto__":{"value":"x"}}'],
  ])("a body that is no such document: %i", async (status, headers, text) => {
    const authorization = `Bearer ${platform.token()}`;
    const answer = await fetch(`${platform.address}/v1/credentials/refused`, {
      ...{ method: "PUT", headers: { authorization, ...headers }, body: text },
    });
    expect(answer.status).toBe(status);
    expect(await answer.text()).not.toContain(VALUE);
  });
});

describe("a value that a client has sealed", () => {
  const seal = async (changes: { key?: string; publicKey?: string; version?: number } = {}) => {
    const path = "/v1/sealing-keys?credential=sealed";
    const { body: keys } = await platform.api<SealingKeys>("GET", path);
    const { id = "", publicKey = "" } = keys.keys[0] ?? {};
    const version = changes.version ?? keys.nextVersion ?? 1;
    const policy = policyHash(headerPolicy(platform.destination.origin));
    const context = {
      org: keys.org,
      credential: "sealed",
      version: String(version),
      purpose: "integration" as const,
    };
    const point = new Uint8Array(Buffer.from(changes.publicKey ?? publicKey, "base64url"));
    const sealed = await sealValue(
      point,
      { ...context, policy, key: changes.key ?? id },
      new TextEncoder().encode(VALUE),
    );
    return { sealed, version, destination: headerPolicy(platform.destination.origin) };
  };
  const altered = async (change: (sealed: SealedValue) => Partial<SealedValue>) => {
    const asked = await seal();
    return { ...asked, sealed: { ...asked.sealed, ...change(asked.sealed) } };
  };

  test.each<[string, number, () => Promise<unknown>]>([
    ["by a key that nobody has", 422, () => seal({ key: "kaaaaaaaaaaaaaaa" })],
    [
      "by another organization's key",
      422,
      async () => {
        const theirs = await platform.api<SealingKeys>(
          "GET",
          "/v1/sealing-keys",
          platform.token("org_globex"),
        );
        return seal({ key: theirs.body.keys[0]?.id ?? "", publicKey: theirs.body.keys[0]?.publicKey ?? "" });
      },
    ],
    ["for a version that is not the next", 422, () => seal({ version: 7 })],
    [
      "with a point that is not on the curve",
      422,
      () =>
        altered(() => ({
          enc: Buffer.concat([Buffer.from([4]), Buffer.alloc(64, 7)]).toString("base64url"),
        })),
    ],
    [
      "with a compressed point",
      422,
      () =>
        altered(({ enc }) => ({ enc: Buffer.from(enc, "base64url").subarray(0, 33).toString("base64url") })),
    ],
    [
      "with a short commitment",
      422,
      () => altered(({ commitment }) => ({ commitment: commitment.slice(0, 20) })),
    ],
    ["with no room for a tag", 422, () => altered(() => ({ ciphertext: "AAAA" }))],
    [
      "too short to be searched for",
      422,
      () => altered(() => ({ ciphertext: Buffer.alloc(16 + 7).toString("base64url") })),
    ],
    ["in another base64url", 400, () => altered(({ ciphertext }) => ({ ciphertext: `${ciphertext}=` }))],
    ["with a member more", 400, () => altered(() => ({ value: VALUE }) as never)],
  ])("%s is refused: %i, and not stored", async (_, status, wrong) => {
    const asked = await wrong();
    const before = stored();
    const answer = await put("sealed", asked);
    expect(answer.status, answer.text).toBe(status);
    expect(stored()).toEqual(before);
  });

  test("by an old key is refused after a rotation; what was stored before still opens", async () => {
    expect((await put("sealed", await seal())).status).toBe(201);
    const old = await seal();
    expect((await platform.api("POST", "/v1/sealing-keys/rotate")).status).toBe(200);
    expect(await put("sealed", old)).toMatchObject({ status: 422, body: { code: "sealed_value_refused" } });
    const job = await platform.runJob({ credential: "sealed", request: GET });
    expect(job).toMatchObject({ state: "succeeded", version: 1 });
    expect(platform.destination.effects[0]?.headers.authorization).toBe(`Bearer ${VALUE}`);
  });

  test("that does not open is stored, for the intake cannot tell; its use fails and sends nothing", async () => {
    const { publicKey } = await makeSealingKeyPair();
    const asked = await seal({ publicKey: Buffer.from(publicKey).toString("base64url") });
    expect((await put("sealed", asked)).status).toBe(200);
    const job = await platform.runJob({ credential: "sealed", request: GET });
    expect(job).toMatchObject({ state: "failed", failure: { class: "not_openable" } });
    expect(platform.destination.connections).toBe(0);
  });
});
