import { request } from "node:http";
import {
  CreateAccessKeyCommand,
  CreateUserCommand,
  IAMClient,
  PutUserPolicyCommand,
} from "@aws-sdk/client-iam";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { prepareRequest } from "../../../../services/worker/broker/inject/prepare.ts";
import { injectSigV4, signSigV4 } from "../../../../services/worker/broker/inject/sigv4.ts";
import { type MotoServer, startMoto } from "../../../harness/aws/moto.ts";

/** The vectors that AWS publishes: its test suite, and the examples in the documentation of S3. */
const SUITE = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };
const S3 = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};
const SUITE_TIME = Date.UTC(2015, 7, 30, 12, 36);
const S3_TIME = Date.UTC(2013, 4, 24);
const UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const FORM = "application/x-www-form-urlencoded";

type Vector = [
  name: string,
  request: string,
  signed: string,
  signature: string,
  headers?: [string, string][],
  body?: string,
];
const at = (headers: [string, string][]) => Object.fromEntries(headers).authorization;

test.each<Vector>([
  [
    "get-vanilla",
    "GET /",
    "host;x-amz-date",
    "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
  ],
  [
    "get-vanilla-empty-query-key",
    "GET /?Param1=value1",
    "host;x-amz-date",
    "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
  ],
  [
    "get-vanilla-query-order-key-case",
    "GET /?Param2=value2&Param1=value1",
    "host;x-amz-date",
    "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
  ],
  [
    "get-vanilla-query-order-key",
    "GET /?Param1=value2&Param1=Value1",
    "host;x-amz-date",
    "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1",
  ],
  [
    "get-vanilla-query-order-value",
    "GET /?Param1=value2&Param1=value1",
    "host;x-amz-date",
    "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694",
  ],
  [
    "get-vanilla-query-order-encoded",
    "GET /?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
    "host;x-amz-date",
    "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
  ],
  [
    "get-vanilla-query-unreserved",
    `GET /?${UNRESERVED}=${UNRESERVED}`,
    "host;x-amz-date",
    "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
  ],
  [
    "get-vanilla-utf8-query",
    "GET /?%E1%88%B4=bar",
    "host;x-amz-date",
    "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
  ],
  [
    "get-unreserved",
    `GET /${UNRESERVED}`,
    "host;x-amz-date",
    "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
  ],
  [
    "get-special-character",
    "GET /example/$delete",
    "host;x-amz-date",
    "a853c9b21b528b19643d00910d35b83a10c366a10833ceefb45edd6c80e40f27",
  ],
  [
    "get-header-key-duplicate",
    "GET /",
    "host;my-header1;x-amz-date",
    "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    [
      ["My-Header1", "value2"],
      ["my-header1", "value2"],
      ["My-Header1", "value1"],
    ],
  ],
  [
    "get-header-value-trim",
    "GET /",
    "host;my-header1;my-header2;x-amz-date",
    "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    [
      ["My-Header1", " value1"],
      ["My-Header2", ' "a   b   c"'],
    ],
  ],
  [
    "post-vanilla",
    "POST /",
    "host;x-amz-date",
    "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
  ],
  [
    "post-vanilla-query",
    "POST /?Param1=value1",
    "host;x-amz-date",
    "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
  ],
  [
    "post-header-value-case",
    "POST /",
    "host;my-header1;x-amz-date",
    "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    [["My-Header1", "VALUE1"]],
  ],
  [
    "post-x-www-form-urlencoded",
    "POST /",
    "content-type;host;x-amz-date",
    "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    [["Content-Type", FORM]],
    "Param1=value1",
  ],
])("AWS's test suite: %s", async (_, line, signed, signature, headers = [], body) => {
  const [method = "", path = ""] = line.split(" ");
  const request = { method, path, headers, ...(body !== undefined && { body: Buffer.from(body) }) };
  const scope = { service: "service", region: "us-east-1" };
  const made = await signSigV4(SUITE, scope, "example.amazonaws.com", request, SUITE_TIME);
  expect(at(made.headers)).toBe(
    `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=${signed}, Signature=${signature}`,
  );
  expect(made.headers).toContainEqual(["x-amz-date", "20150830T123600Z"]);
});

test("AWS's test suite: a session's token is signed and sent", async () => {
  const sessionToken = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
  const made = await signSigV4(
    { ...SUITE, sessionToken },
    { service: "service", region: "us-east-1" },
    "example.amazonaws.com",
    { method: "GET", path: "/", headers: [] },
    SUITE_TIME,
  );
  expect(made.headers).toContainEqual(["x-amz-security-token", sessionToken]);
  expect(at(made.headers)).toContain("07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8");
});

test.each<Vector>([
  [
    "GET object",
    "GET /test.txt",
    "host;range;x-amz-content-sha256;x-amz-date",
    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    [["Range", "bytes=0-9"]],
  ],
  [
    "GET lifecycle",
    "GET /?lifecycle",
    "host;x-amz-content-sha256;x-amz-date",
    "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
  ],
  [
    "list objects",
    "GET /?max-keys=2&prefix=J",
    "host;x-amz-content-sha256;x-amz-date",
    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
  ],
])("S3's documentation: %s", async (_, line, signed, signature, headers = [], body) => {
  const [method = "", path = ""] = line.split(" ");
  const request = { method, path, headers, ...(body !== undefined && { body: Buffer.from(body) }) };
  const made = await signSigV4(
    S3,
    { service: "s3", region: "us-east-1" },
    "examplebucket.s3.amazonaws.com",
    request,
    S3_TIME,
  );
  expect(at(made.headers)).toBe(
    `AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=${signed}, Signature=${signature}`,
  );
});

const KEY = { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: S3.secretAccessKey };
const signed = (path: string, headers: [string, string][] = [], key: unknown = KEY, service = "s3") =>
  injectSigV4(
    { service, region: "us-east-1" },
    "s3.amazonaws.com",
    Buffer.from(JSON.stringify(key)),
    { method: "GET", path, headers },
    S3_TIME,
  );

test("S3's path is sent as it is signed", async () => {
  expect((await signed("/a$b/c%20d+e/%C3%A9%24")).path).toBe("/a%24b/c%20d%2Be/%C3%A9%24");
});

test("the query is sent as it is signed, without an order of its own", async () => {
  expect((await signed("/b?b=2&a&c=%2a!&b=1")).path).toBe("/b?b=2&b=1&a=&c=%2A%21");
});

test("what the caller says of the signature does not count", async () => {
  const { headers } = await signed("/", [
    ["X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"],
    ["X-Amz-Date", "20000101T000000Z"],
    ["X-Amz-Security-Token", "other"],
    ["X-Amz-Meta-A", "1"],
  ]);
  expect(headers.map(([name]) => name)).toEqual([
    "x-amz-meta-a",
    "x-amz-date",
    "x-amz-content-sha256",
    "authorization",
  ]);
  expect(JSON.stringify(headers)).not.toMatch(/UNSIGNED|20000101|other/);
  expect(at(headers)).toContain("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-meta-a,");
});

test("the secret key is not sent, and an answer may contain neither it nor the signature", async () => {
  const sessionToken = "FwoGZXIvYXdzEBYaDH-session";
  const { headers, secrets } = await signed("/", [], { ...KEY, sessionToken });
  expect(JSON.stringify(headers)).not.toContain(KEY.secretAccessKey);
  const texts = secrets.map((secret) => Buffer.from(secret).toString());
  expect(texts).toEqual(expect.arrayContaining([KEY.secretAccessKey, sessionToken]));
  expect(texts).toContain(at(headers)?.split("Signature=")[1]);
});

test.each([
  ["no JSON", "AKIAIOSFODNN7EXAMPLE:secret"],
  ["another member", { ...KEY, region: "x" }],
  ["no secret", { accessKeyId: KEY.accessKeyId }],
  ["a malformed id", { ...KEY, accessKeyId: "akia" }],
])("a value that is no access key is refused without a word of it: %s", async (_, key) => {
  const refused = await signed("/", [], key).catch((error: unknown) => error as Error);
  expect(refused).toMatchObject({ failure: "unusable_value" });
  expect(String(refused)).not.toMatch(/AKIA|akia|secret[^A]|wJal/);
});

test.each(["/?a=b+c", "/?a=%ff", "/%ff"])("what could be read in two ways is refused: %s", async (path) => {
  await expect(signed(path)).rejects.toMatchObject({ failure: "not_allowed", parts: { part: "query" } });
});

/** moto compares signatures once it is told to: with those that AWS's own client for Python makes. */
let moto: MotoServer;
let key: { accessKeyId: string; secretAccessKey: string };

beforeAll(async () => {
  moto = await startMoto(inject("moto"));
  const iam = new IAMClient({
    endpoint: moto.endpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "x", secretAccessKey: "x" },
  });
  await iam.send(new CreateUserCommand({ UserName: "app" }));
  const PolicyDocument = JSON.stringify({
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }],
  });
  await iam.send(new PutUserPolicyCommand({ UserName: "app", PolicyName: "all", PolicyDocument }));
  const { AccessKey } = await iam.send(new CreateAccessKeyCommand({ UserName: "app" }));
  key = { accessKeyId: AccessKey?.AccessKeyId ?? "", secretAccessKey: AccessKey?.SecretAccessKey ?? "" };
  iam.destroy();
  await fetch(`${moto.endpoint}/moto-api/reset-auth`, { method: "POST", body: "0" });
});
afterAll(() => moto?.stop());

interface Call {
  service: string;
  method: string;
  path: string;
  headers?: [string, string][];
  body?: string;
}

async function call(
  { service, method, path, headers = [], body }: Call,
  secretAccessKey = key.secretAccessKey,
) {
  const { host, hostname, port } = new URL(moto.endpoint);
  const prepared = await prepareRequest(
    { origin: moto.endpoint, inject: { sigv4: { service, region: "us-east-1" } }, rules: [] },
    Buffer.from(JSON.stringify({ ...key, secretAccessKey })),
    { method, path, headers, ...(body !== undefined && { body: Buffer.from(body) }) },
    Date.now(),
  );
  return await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const sent = request(
      {
        ...{ hostname, port, method, path: prepared.path, setHost: false },
        headers: [...prepared.headers, ["Host", host], ["Content-Length", String(body?.length ?? 0)]].flat(),
      },
      async (response) => {
        const chunks: Buffer[] = [];
        for await (const chunk of response) chunks.push(chunk as Buffer);
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() });
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}

test.each<[string, Call, RegExp]>([
  [
    "a form",
    {
      service: "sts",
      method: "POST",
      path: "/",
      headers: [["Content-Type", FORM]],
      body: "Action=GetCallerIdentity&Version=2011-06-15",
    },
    /user\/app/,
  ],

  ["a bucket", { service: "s3", method: "PUT", path: "/things" }, /^/],
  [
    "an object with a body",
    {
      service: "s3",
      method: "PUT",
      path: "/things/a%20b%24.txt",
      headers: [["X-Amz-Meta-Color", "  dark   red "]],
      body: "hello",
    },
    /^/,
  ],
  ["an object", { service: "s3", method: "GET", path: "/things/a%20b$.txt" }, /^hello$/],
  [
    "a list",
    { service: "s3", method: "GET", path: "/things?list-type=2&prefix=a%20b&encoding-type=url" },
    /<Key>a/,
  ],
])("%s is accepted, and with another key it is not", async (_, request, expected) => {
  expect(await call(request, "another-secret-access-key")).toMatchObject({
    status: 403,
    text: expect.stringContaining("SignatureDoesNotMatch"),
  });
  const { status, text } = await call(request);
  expect(text).toMatch(expected);
  expect(status).toBe(200);
});
