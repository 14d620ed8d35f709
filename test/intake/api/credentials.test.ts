import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { open } from "../../../services/shared/envelope/envelope.ts";
import { KeyProviderError } from "../../../services/shared/envelope/key-provider.ts";
import { policyHash } from "../../../services/shared/work/destination.ts";
import { credentialBody, type IntakeStage, startIntakeStage, type TestIntake } from "../../harness/intake.ts";
import { memoryKeyProvider } from "../../harness/key-provider.ts";

let stage: IntakeStage;
let intake: TestIntake;
let admin: string;
beforeAll(async () => {
  stage = await startIntakeStage();
  intake = await stage.start();
  admin = stage.token("admin");
});
afterAll(() => stage.close());

const put = (name: string, changes: object = {}, headers: Record<string, string> = {}) =>
  intake.call("PUT", `/v1/credentials/${name}`, { token: admin, body: credentialBody(changes), headers });
const get = (name: string) => intake.call("GET", `/v1/credentials/${name}`, { token: admin });
const path = (name: string) => `/v1/credentials/${name}`;

test("put, read, put again, list, disable, enable, delete", async () => {
  expect((await put("life")).status).toBe(201);
  const second = await put("life", { value: "another-value", level: "admin" });
  expect(second).toMatchObject({ status: 200, json: { version: 2, level: "admin", disabled: false } });
  const got = await get("life");
  expect(got.json).toEqual(second.json);
  expect(got.headers.get("etag")).toBe('"2"');
  expect(got.json.versions).toMatchObject([
    { version: 2, sealedBy: "platform" },
    { version: 1, sealedBy: "platform" },
  ]);
  for (const [verb, disabled] of [
    ["disable", true],
    ["disable", true],
    ["enable", false],
  ] as const) {
    const answer = await intake.call("POST", `${path("life")}/${verb}`, { token: admin });
    expect(answer).toMatchObject({ status: 200, json: { disabled, version: 2 } });
  }
  expect((await intake.call("DELETE", path("life"), { token: admin })).status).toBe(204);
  expect((await get("life")).json).toMatchObject({ code: "not_found" });
  expect((await intake.call("DELETE", path("life"), { token: admin })).status).toBe(404);
  expect((await intake.call("POST", `${path("life")}/disable`, { token: admin })).status).toBe(404);
});

test("the store has an envelope that opens for exactly this credential, and no value", async () => {
  await put("sealed");
  const { json } = await get("sealed");
  const stored = await stage.store.get<{ material: { envelope: string } }>({
    partition: `org/${stage.acme}/materials`,
    sort: "sealed",
  });
  const context = {
    ...{ org: stage.acme, credential: "sealed", version: "1", purpose: "integration" as const },
    policy: policyHash(json.destination),
  };
  const envelope = Buffer.from(stored?.body.material.envelope ?? "", "base64");
  const opened = await open(stage.keys.integration, context, envelope);
  expect(Buffer.from(opened).toString()).toBe(credentialBody().value);
  for (const change of [{ org: stage.globex }, { credential: "other" }, { version: "2" }, { policy: "x" }]) {
    await expect(open(stage.keys.integration, { ...context, ...change }, envelope)).rejects.toThrow();
  }
  const files = ["store.sqlite", "store.sqlite-wal"].map((name) =>
    readFile(join(stage.folder, name)).catch(() => Buffer.alloc(0)),
  );
  for (const file of await Promise.all(files)) expect(file.includes("canary")).toBe(false);
});

test("a version before, and a deleted credential, leave no envelope; a new one has a new version", async () => {
  await put("gone");
  await put("gone");
  const partition = `org/${stage.acme}/materials`;
  expect(await stage.store.get({ partition, sort: "gone" })).toMatchObject({ body: { version: 2 } });
  await intake.call("DELETE", path("gone"), { token: admin });
  expect(await stage.store.get({ partition, sort: "gone" })).toBeUndefined();
  expect((await put("gone")).json).toMatchObject({ version: 3, versions: [{ version: 3 }] });
});

test("conditions: only if it is new, only if it has this version", async () => {
  expect((await put("cas", {}, { "if-none-match": "*" })).status).toBe(201);
  expect((await put("cas", {}, { "if-none-match": "*" })).json).toMatchObject({
    code: "precondition_failed",
  });
  expect((await put("cas", {}, { "if-match": '"2"' })).status).toBe(412);
  expect((await put("cas", {}, { "if-match": '"1"' })).json.version).toBe(2);
  expect((await put("absent", {}, { "if-match": '"1"' })).status).toBe(412);
  expect((await put("cas", {}, { "if-match": "1" })).status).toBe(400);
  const stale = await intake.call("DELETE", path("cas"), { token: admin, headers: { "if-match": '"1"' } });
  expect(stale.status).toBe(412);
});

test("of ten that put at once, each gets a version of its own, or a conflict", async () => {
  const answers = await Promise.all(Array.from({ length: 10 }, () => put("race")));
  const stored = answers.filter(({ status }) => status < 300).map(({ json }) => json.version);
  expect(answers.every(({ status }) => [200, 201, 409].includes(status))).toBe(true);
  expect(stored.length).toBeGreaterThan(0);
  expect(stored.sort((a, b) => a - b)).toEqual(stored.map((_, index) => index + 1));
  expect((await get("race")).json.version).toBe(stored.length);
});

test("twenty new ones at once are all stored", async () => {
  const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => put(`many-${n}`)));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 201));
});

describe("bad input stores nothing", () => {
  const body = credentialBody();
  test.each([
    ["a value of 7 bytes", { value: "1234567" }, 422, "invalid_value"],
    ["a value that makes its header too long", { value: "x".repeat(8_186) }, 422, "invalid_value"],
    ["a value over 64 KiB", { value: "x".repeat(65_537) }, 413, "body_too_large"],
    ["a body far over that", { value: "x".repeat(600_000) }, 413, "body_too_large"],
    [
      "an address",
      { destination: { ...body.destination, origin: "https://10.0.0.1" } },
      422,
      "invalid_destination",
    ],
    [
      "a port",
      { destination: { ...body.destination, origin: "https://a.example:80" } },
      422,
      "invalid_destination",
    ],
    ["no value", { value: undefined }, 400, "invalid_request"],
    ["a value that is no text", { value: 12_345_678 }, 400, "invalid_request"],
    ["another member", { secret: true }, 400, "invalid_request"],
    ["another purpose", { purpose: "webhook" }, 400, "invalid_request"],
    ["another level", { level: "root" }, 400, "invalid_request"],
    ["no methods", { destination: { ...body.destination, methods: [] } }, 400, "invalid_request"],
    ["another method", { destination: { ...body.destination, methods: ["TRACE"] } }, 400, "invalid_request"],
    [
      "a line break in the format",
      { destination: { ...body.destination, inject: { header: "A", format: "{}\r\n" } } },
      400,
      "invalid_request",
    ],
  ])("%s", async (_, changes, status, code) => {
    const answer = await put("bad", changes);
    expect(answer).toMatchObject({ status, json: { code } });
    expect(answer.text).not.toContain("canary");
    expect((await get("bad")).status).toBe(404);
  });

  test.each(["Upper", "a_b", "-a", "a".repeat(64), "a%2fb", "@own", "ä"])("the name %s", async (name) => {
    expect((await put(encodeURI(name))).status).toBe(400);
  });

  test("no JSON, another type, and a form that a browser sends without asking", async () => {
    const send = (contentType: string, text: string) =>
      intake.call("PUT", path("bad"), { token: admin, body: text, headers: { "content-type": contentType } });
    expect((await send("application/json", "{")).status).toBe(400);
    expect((await send("text/plain", JSON.stringify(body))).status).toBe(415);
    expect((await send("application/x-www-form-urlencoded", "value=1")).status).toBe(415);
  });
});

test("pages: in order, each once, and no other cursor", async () => {
  const names = Array.from({ length: 7 }, (_, index) => `page-${index}`);
  for (const name of names) await put(name);
  const listed: string[] = [];
  let query = "?limit=3";
  for (;;) {
    const { json } = await intake.call("GET", `/v1/credentials${query}`, { token: admin });
    listed.push(...json.credentials.map((each: { name: string }) => each.name));
    if (json.next === undefined) break;
    query = `?limit=3&cursor=${json.next}`;
  }
  expect(listed).toEqual([...listed].sort());
  expect(new Set(listed).size).toBe(listed.length);
  expect(listed).toEqual(expect.arrayContaining(names));
  for (const bad of ["?cursor=!", "?limit=0", "?limit=101", "?other=1", "?cursor=A"]) {
    expect((await intake.call("GET", `/v1/credentials${bad}`, { token: admin })).status, bad).toBe(400);
  }
});

test("a key provider that does not answer stores nothing: 503", async () => {
  const broken = memoryKeyProvider("broken");
  broken.makeDataKey = async () => {
    throw new KeyProviderError("unavailable", "the key provider is down");
  };
  const other = await stage.start({ keys: { integration: broken, webhook: broken, broker: broken } });
  const answer = await other.call("PUT", path("unsealed"), { token: admin, body: credentialBody() });
  expect(answer).toMatchObject({ status: 503, json: { code: "key_provider_unavailable", retry: true } });
  expect(answer.headers.get("retry-after")).toBe("1");
  expect((await get("unsealed")).status).toBe(404);
  expect((await other.call("GET", "/v1/ready")).json.code).toBe("key_provider_unavailable");
  await other.close();
});

test("an organization has at most 1,000 credentials", async () => {
  const key = { partition: `org/${stage.acme}/counts`, sort: "credentials" };
  const before = await stage.store.get<{ count: number }>(key);
  await stage.store.write([{ ...key, body: { count: 1_000 } }]);
  expect((await put("one-too-many")).json).toMatchObject({ status: 409, code: "conflict" });
  await put("life-again", {}, {}).then(({ status }) => expect(status).toBe(409));
  await stage.store.write([{ ...key, body: before?.body }]);
  expect((await put("one-more")).status).toBe(201);
});
