import { createHash } from "node:crypto";
import { request as httpRequest } from "node:http";
import { afterAll, beforeAll, beforeEach, expect, inject, test } from "vitest";
import type { BrokerPolicy } from "../../services/shared/broker/policy.ts";
import type { Rule } from "../../services/shared/broker/rules.ts";
import type { Entry } from "../../services/shared/receipts/receipt.ts";
import { newCanary } from "../harness/canary.ts";
import { type CredentialPlatform, startCredentialPlatform } from "../harness/credentials.ts";
import { send } from "../intake/broker/stage.ts";

/*
 * Intake and broker as processes of their own under the flags of production, with a real internal Vault, over mutual TLS,
 * to a destination over TLS.
 */

const value = newCanary();
let platform: CredentialPlatform;
let admin: string;
let writer: string;
beforeAll(async () => {
  platform = await startCredentialPlatform(inject("vaultBinary"), { workers: ["broker"] });
  admin = platform.token("org_acme", "admin");
  writer = platform.token("org_acme", "writer");
  await put("stripe", policy());
});
afterAll(() => platform?.stop());
beforeEach(() => {
  platform.destination.clear();
  platform.destination.answer = undefined;
});

const policy = (rules: Rule[] = [read, write]): BrokerPolicy => ({
  origin: platform.destination.origin,
  inject: { header: "Authorization", format: "Bearer {}" },
  rules,
});
const read: Rule = { id: "read", methods: ["GET"], paths: ["/v1/**"], who: { level: "reader" } };
const write: Rule = {
  ...{ id: "write", methods: ["POST"], paths: ["/v1/**"], who: { level: "writer" } },
  contentTypes: ["application/json", "application/octet-stream"],
};

async function put(name: string, destination: BrokerPolicy): Promise<void> {
  const body = { purpose: "broker", value, destination };
  const answer = await platform.api("PUT", `/v1/credentials/${name}`, admin, { body });
  if (answer.status >= 300) throw new Error(answer.text);
}
const use = (method: string, path: string, options: Parameters<typeof send>[3] = {}) =>
  send(platform.address, method, `/v1/use${path}`, { token: writer, ...options });

async function receiptsOf(id: unknown): Promise<Entry[]> {
  const { body } = await platform.api<{ receipts: { entry: Entry }[] }>(
    "GET",
    `/v1/receipts?id=${id}`,
    admin,
  );
  return body.receipts.map(({ entry }) => entry).sort((a, b) => a.sequence - b.sequence);
}

test("a member's request reaches the destination with the credential, and comes back without it", async () => {
  platform.destination.answer = (effect, response) =>
    void response
      .writeHead(200, { "content-type": "application/json", "x-seen": effect.headers.authorization })
      .end(JSON.stringify({ seen: effect.headers.authorization }));
  const answer = await use("GET", "/stripe/v1/me", { headers: { "x-api-version": "7" } });
  expect(answer).toMatchObject({ status: 200, isCut: false });
  expect(answer.headers["strongroom-answer"]).toBe("destination");
  expect(platform.destination.effects).toMatchObject([
    { method: "GET", url: "/v1/me", headers: { authorization: `Bearer ${value}`, "x-api-version": "7" } },
  ]);
  expect(answer.text + JSON.stringify(answer.headers)).not.toContain(value);
  await expect.poll(async () => (await receiptsOf(answer.headers["strongroom-receipt"])).length).toBe(2);
  const [intent, completion] = await receiptsOf(answer.headers["strongroom-receipt"]);
  expect(intent).toMatchObject({ rule: "read", pathPattern: "/v1/**", credential: "stripe", version: 1 });
  expect(completion).toMatchObject({ outcome: "answered", status: 200 });
  expect((completion as { scrubbed: number }).scrubbed).toBeGreaterThan(0);
});

test("the destination's own errors pass as they are; the platform's are problems", async () => {
  platform.destination.answer = (_, response) =>
    void response
      .writeHead(503, { "content-type": "application/json", "retry-after": "9" })
      .end('{"theirs":1}');
  const theirs = await use("GET", "/stripe/v1/me");
  expect(theirs).toMatchObject({ status: 503, json: { theirs: 1 } });
  expect(theirs.headers).toMatchObject({ "strongroom-answer": "destination", "retry-after": "9" });
  await platform.destination.down();
  const down = await use("GET", "/stripe/v1/me");
  await platform.destination.up();
  expect(down).toMatchObject({ status: 502, json: { code: "destination_unreachable" } });
  expect(down.headers["strongroom-answer"]).toBe("platform");
});

test("bodies of 64 MiB go both ways", async () => {
  platform.destination.answer = (effect, response) => void response.writeHead(200).end(effect.body);
  const body = Buffer.alloc(64 * 1024 * 1024, "strongroom ");
  const answer = await use("POST", "/stripe/v1/blob", {
    ...{ body, headers: { "content-type": "application/octet-stream" } },
  });
  expect(answer.status).toBe(200);
  const digest = (data: Buffer | string) => createHash("sha256").update(data).digest("base64url");
  expect(digest(answer.text)).toBe(digest(body));
  await expect
    .poll(async () => (await receiptsOf(answer.headers["strongroom-receipt"])).at(-1))
    .toMatchObject({ outcome: "answered", bodyDigest: digest(body), sentBytes: body.length });
});

test("a caller who goes ends the request at the destination", async () => {
  const [reached, gone] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  platform.destination.answer = (_, response) => {
    response.once("close", gone.resolve);
    reached.resolve();
  };
  const { hostname, port } = new URL(platform.address);
  const sent = httpRequest({
    ...{ hostname, port, path: "/v1/use/stripe/v1/slow", agent: false },
    headers: { authorization: `Bearer ${writer}` },
  });
  sent.on("error", () => {});
  sent.end();
  await reached.promise;
  sent.destroy();
  await gone.promise;
});

test("the rules change without the value, by an admin, and hold from then on", async () => {
  await put("changing", policy([]));
  const path = "/v1/credentials/changing/rules";
  expect((await use("GET", "/changing/v1/me")).json).toMatchObject({ code: "use_not_allowed" });
  const body = { rules: [read] };
  expect((await platform.api("PUT", path, writer, { body })).status).toBe(403);
  const stale = { body, headers: { "if-match": '"9"' } };
  expect((await platform.api("PUT", path, admin, stale)).status).toBe(412);
  const changed = await platform.api("PUT", path, admin, { body, headers: { "if-match": '"1"' } });
  expect(changed).toMatchObject({ status: 200, body: { version: 2, destination: { rules: [read] } } });
  expect(changed.headers.etag).toBe('"2"');
  expect(await platform.api("GET", path, writer)).toMatchObject({ status: 200, body: { rules: [read] } });
  // The same again changes nothing.
  expect(await platform.api("PUT", path, admin, { body })).toMatchObject({
    status: 200,
    body: { version: 2 },
  });
  expect((await use("GET", "/changing/v1/me")).status).toBe(200);
  expect(platform.destination.effects.at(-1)?.headers.authorization).toBe(`Bearer ${value}`);
  await expect
    .poll(async () => (await receiptsOf(changed.headers["x-request-id"])).map(({ type }) => type))
    .toEqual(["intent", "completion"]);
});

test("a token that was revoked, or is another organization's, uses nothing", async () => {
  const globex = platform.token("org_globex", "admin");
  expect(await use("GET", "/stripe/v1/me", { token: globex })).toMatchObject({ status: 404 });
  expect(platform.destination.effects).toEqual([]);
});

test("without the broker: 503 at once, and the receipt says that nothing was sent", async () => {
  const [broker] = platform.workers;
  await broker?.kill("SIGKILL");
  const began = performance.now();
  const answer = await use("GET", "/stripe/v1/me");
  expect(answer).toMatchObject({ status: 503, json: { code: "broker_unavailable" } });
  expect(performance.now() - began).toBeLessThan(5_000);
  await expect
    .poll(async () => (await receiptsOf(answer.headers["strongroom-receipt"])).at(-1))
    .toMatchObject({ outcome: "not_sent" });
  await broker?.start();
  await expect.poll(async () => (await use("GET", "/stripe/v1/me")).status).toBe(200);
});
