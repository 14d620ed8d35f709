import fc from "fast-check";
import { Agent } from "undici";
import { describe, expect } from "vitest";
import { test } from "../harness/fixtures.ts";
import type { CallOptions, TestGateway } from "../harness/gateway.ts";
import type { OrgVault } from "../harness/vault.ts";

let acme: OrgVault;
let gateway: TestGateway;
let token: string;
test.beforeAll(({ issuer, servedOrg }) => {
  ({ acme, gateway } = servedOrg);
  token = issuer.token({ [issuer.issuer.groupsClaim]: ["admin"], exp: Math.floor(Date.now() / 1000) + 600 });
});

const send = (method: string, path: string, options: CallOptions) =>
  gateway.call(method, `/v1/secret/${path}`, { token, ...options });
const post = (body: string | Buffer, path = "data/x") => send("POST", path, { body });
const patchType = { "content-type": "application/merge-patch+json" };

const nested = (depth: number) => `{"data":${'{"a":'.repeat(depth)}1${"}".repeat(depth)}}`;

describe("bodies to which Vault itself answers 500 are 400 here", () => {
  test.each<[string, string]>([
    ["two values", '{"data":{"a":1}}x'],
    ["a member twice", '{"data":{"a":1},"data":{"a":2}}'],
    ["too deep", nested(2_000)],
    ["too wide", `{"data":{${Array.from({ length: 4_001 }, (_, i) => `"${i}":1`).join()}}}`],
    ["too long a list", `{"data":{"a":[${"1,".repeat(20_000)}1]}}`],
    ["too large a number", '{"data":{"a":1},"options":{"cas":1e400}}'],
    ["half of a surrogate pair", '{"data":{"a":"\\ud800"}}'],
    ["names that only differ in surrogate pairs", '{"data":{"\\ud83d\\ude00":1,"\\ud83d\\ude01":2}}'],
  ])("%s", async (_name, body) => {
    expect((await post(body)).status).toBe(400);
    const straight = await fetchVault("POST", "data/x", body);
    expect(straight).toBe(500);
  });

  test("no data at all, to be patched later", async () => {
    expect((await post('{"data":null}')).status).toBe(400);
    await fetchVault("POST", "data/null", '{"data":null}');
    const body = '{"data":{"a":1}}';
    expect(await fetchVault("PATCH", "data/null", body)).toBe(500);
    expect((await send("PATCH", "data/null", { body, headers: patchType })).status).toBe(400);
  });
});

/** The status that Vault gives when it is asked past the gateway. */
async function fetchVault(method: string, path: string, body: string): Promise<number> {
  const { ca, serverName, address } = acme.endpoint;
  const agent = new Agent({ connect: { ca: ca ?? "", servername: serverName ?? "" } });
  const type = method === "PATCH" ? "application/merge-patch+json" : "application/json";
  const headers = { "x-vault-token": acme.rootToken.reveal(), "content-type": type };
  try {
    const options = { origin: address, path: `/v1/secret/${path}`, method: method as "POST", headers, body };
    const { statusCode, body: answer } = await agent.request(options);
    await answer.dump();
    return statusCode;
  } finally {
    await agent.close();
  }
}

describe("what the gateway takes, its Vault takes from whoever reaches it, and not much more", () => {
  const members = (count: number, value: unknown) =>
    JSON.stringify({ data: Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, value])) });

  test.each<[string, string]>([
    ["as many names as go", members(3_999, "v")],
    ["each with an object", members(3_999, {})],
    ["lists in a list", `{"data":{"a":[${"[],".repeat(3_997)}[]]}}`],
    ["as deep as goes", nested(99)],
    ["as long a name as goes", `{"data":{"${"x".repeat(4_096)}":1}}`],
    ["nearly 1 MiB in one value", JSON.stringify({ data: { a: "x".repeat(1_000_000) } })],
  ])("taken: %s", async (_name, body) => {
    expect((await post(body)).status).toBe(200);
  });

  test.each<[string, string, number]>([
    ["a few more names", members(4_001, "v"), 500],
    ["a longer list", `{"data":{"a":[${"1,".repeat(4_000)}1]}}`, 500],
    ["more in all", members(200, Object.fromEntries(Array.from({ length: 30 }, (_, i) => [i, 1]))), 500],
    ["deeper", nested(100), 500],
    ["longer than 1 MiB", JSON.stringify({ data: { a: "x".repeat(1024 * 1024) } }), 413],
  ])("refused by both: %s", async (_name, body, status) => {
    expect((await post(body)).status).toBe(status === 413 ? 413 : 400);
    expect(await fetchVault("POST", "data/x", body)).toBe(status);
  });
});

describe("size", () => {
  test("a body above 1 MiB is 413, announced or not, and what was announced is not waited for", async () => {
    const body = JSON.stringify({ data: { a: "x".repeat(1024 * 1024) } });
    const announced = await post(body);
    expect(announced).toMatchObject({ status: 413, headers: { "content-type": "application/json" } });
    const chunked = await send("POST", "data/x", { body, headers: { "transfer-encoding": "chunked" } });
    expect(chunked.status).toBe(413);
    const answer = await gateway.raw(
      `POST /v1/secret/data/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Vault-Token: ${token}\r\nContent-Length: 9999999999\r\n\r\n{`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  });

  test("one that storage cannot hold is 413, also where it only grows to that", async () => {
    for (const text of ["x".repeat(1024 * 1024 - 20), "<".repeat(400_000)]) {
      expect((await post(JSON.stringify({ data: { a: text } }))).status).toBe(413);
    }
    const half = (name: string) => JSON.stringify({ data: { [name]: "x".repeat(600_000) } });
    expect((await post(half("a"), "data/grown")).status).toBe(200);
    const patch = await send("PATCH", "data/grown", { body: half("b"), headers: patchType });
    expect(patch.status).toBe(413);
  });

  test("max_versions out of range is 400", async () => {
    await post('{"data":{}}', "data/versions");
    const body = '{"max_versions":-1}';
    expect((await send("PATCH", "metadata/versions", { body, headers: patchType })).status).toBe(400);
  });
});

const routes: [string, string][] = [
  ["POST", "data/f"],
  ["PATCH", "data/f"],
  ["POST", "delete/f"],
  ["POST", "undelete/f"],
  ["POST", "destroy/f"],
  ["POST", "metadata/f"],
  ["PATCH", "metadata/f"],
];

/** Members that these routes read, each with a value of a kind that it may not have. */
const values = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom(-1, 0, 1e308, 2 ** 32, "-1h", "99999h", "\u0000", "true", "1".repeat(400)),
);
const members = fc.dictionary(
  fc.constantFrom(
    ...["data", "options", "versions", "max_versions", "cas_required", "delete_version_after"],
    ...["custom_metadata", "cas", "version", "list", "path", "__proto__"],
  ),
  values,
  { maxKeys: 4 },
);

test("whatever is written, no answer is a 5xx, and all are in Vault's form", {
  timeout: 120_000,
}, async () => {
  await post('{"data":{"a":1}}', "data/f");
  const bodies = fc.oneof(
    members.map((body) => JSON.stringify(body)),
    fc.tuple(members, fc.jsonValue()).map(([body, data]) => JSON.stringify({ ...body, data: { a: data } })),
    fc.tuple(members, values).map(([body, cas]) => JSON.stringify({ ...body, data: {}, options: { cas } })),
    fc.string({ unit: "binary" }),
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...routes), bodies, async ([method, path], body) => {
      const answer = await send(method, path, { body, headers: method === "PATCH" ? patchType : {} });
      expect(answer.status, `${method} ${path} ${body}: ${answer.text}`).toBeLessThan(500);
      if (answer.status !== 204) expect(answer.headers["content-type"]).toBe("application/json");
    }),
    { numRuns: 600 },
  );
});
