import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { open } from "../../../services/shared/envelope/envelope.ts";
import { policyHash } from "../../../services/shared/work/destination.ts";
import type { Outcome } from "../../../services/shared/work/messages.ts";
import {
  answered,
  eventually,
  type IntakeStage,
  type Message,
  startIntakeStage,
  type TestIntake,
} from "../../harness/intake.ts";

let stage: IntakeStage;
let intake: TestIntake;
let seen: Message[];
let outcome: (message: Message) => Outcome | undefined;
beforeEach(async () => {
  stage = await startIntakeStage();
  intake = await stage.start();
  outcome = () => answered(204, "");
  seen = stage.answer("webhook", (message) => outcome(message));
});
afterEach(() => stage.close());

const URL = "https://hooks.example.com/in?from=us";
const HOUR = 3_600;
const call = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  intake.call(method, `/v1/webhooks/${path}`, {
    ...{ token: stage.token("writer"), headers },
    ...(body !== undefined && { body }),
  });
const put = (changes: object = {}, headers = {}) => call("PUT", "orders", { url: URL, ...changes }, headers);
const send = (body: object = { payload: { order: 1 } }) => call("POST", "orders/send", body);
const delivery = async (id: string) => (await call("GET", `orders/deliveries/${id}`)).json;

/** The secrets of a message as the worker opens them. */
const secretsOf = (message: Message) =>
  Promise.all(
    message.secrets.map(
      async ({ version, material }: { version: number; material: { envelope: string } }) => {
        const context = {
          ...{ org: stage.acme, credential: "orders", version: String(version), purpose: "webhook" as const },
          policy: policyHash(message.policy),
        };
        const secret = await open(stage.keys.webhook, context, Buffer.from(material.envelope, "base64"));
        return Buffer.from(secret).toString();
      },
    ),
  );

test("a webhook's secret is shown once; a message is sealed and delivered with it", async () => {
  const made = await put({ description: "orders" });
  expect(made).toMatchObject({
    status: 201,
    json: { name: "orders", url: URL, secretVersion: 1, disabled: false },
  });
  expect(made.json.secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
  expect(made.headers.get("cache-control")).toBe("no-store");
  expect((await call("GET", "orders")).json.secret).toBeUndefined();
  expect((await put({ description: "again" })).json).toMatchObject({ version: 2, secretVersion: 1 });
  expect((await put()).json.secret).toBeUndefined();

  const sent = await send();
  expect(sent).toMatchObject({ status: 202, json: { state: "queued", webhookId: `msg_${sent.json.id}` } });
  expect(sent.headers.get("location")).toBe(`/v1/webhooks/orders/deliveries/${sent.json.id}`);
  await eventually(() => delivery(sent.json.id)).toMatchObject({
    state: "succeeded",
    attempts: [{ status: 204 }],
  });
  const [message] = seen as [Message];
  expect(await secretsOf(message)).toEqual([made.json.secret]);
  const context = {
    ...{ org: stage.acme, credential: "orders", version: "1", purpose: "webhook" as const },
    ...{ policy: policyHash(message.policy), job: message.job },
  };
  const request = await open(stage.keys.webhook, context, Buffer.from(message.request, "base64"));
  expect(JSON.parse(Buffer.from(request).toString())).toEqual({
    ...{ method: "POST", path: "/in?from=us", headers: { "content-type": "application/json" } },
    body: Buffer.from('{"order":1}').toString("base64"),
  });
  expect((await call("GET", "orders")).json.lastDeliveredAt).toBeDefined();
  for (const line of stage.log) expect(line).not.toContain(made.json.secret);
});

test("the same id is sent once, and not with another payload", async () => {
  await put();
  const first = await send({ payload: 1, id: "evt_1" });
  const [again, other] = [await send({ payload: 1, id: "evt_1" }), await send({ payload: 2, id: "evt_1" })];
  expect(again.json).toMatchObject({ id: first.json.id, webhookId: "evt_1" });
  expect(other.json).toMatchObject({ status: 409, code: "conflict" });
  await eventually(() => seen.length).toBe(1);
});

describe("a delivery that fails", () => {
  test("is tried again with growing waits, until it is given up", async () => {
    outcome = () => answered(503, "");
    await put();
    const { id } = (await send()).json;
    const waits: number[] = [];
    for (let attempt = 1; attempt <= 8; attempt++) {
      await eventually(() => delivery(id)).toMatchObject({ state: "waiting", attempt });
      const { nextAt } = await delivery(id);
      waits.push(Math.round((Date.parse(nextAt) - stage.clock.now()) / 1000));
      stage.clock.skip(waits.at(-1) as number);
      stage.clock.skip(2);
    }
    await eventually(() => delivery(id)).toMatchObject({ state: "failed", attempt: 9 });
    const about = [5, 60, 300, 1_800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR];
    expect(waits.every((wait, index) => Math.abs(wait - (about[index] as number)) <= 15)).toBe(true);
    const ended = await delivery(id);
    expect(ended.attempts).toHaveLength(9);
    expect(ended.attempts[0]).toMatchObject({
      attempt: 9,
      status: 503,
      failure: { class: "answer_unusable" },
    });
    expect(new Set(seen.map(({ webhookId }) => webhookId)).size).toBe(1);
    expect((await call("GET", "orders")).json.failingSince).toBeDefined();
  });

  test("succeeds later, and can be delivered again", async () => {
    outcome = () => ({ state: "failed", failure: "unreachable", detail: "no answer" });
    await put();
    const { id } = (await send()).json;
    await eventually(() => delivery(id)).toMatchObject({
      state: "waiting",
      attempts: [{ failure: { class: "unreachable" } }],
    });
    outcome = () => answered();
    stage.clock.skip(6);
    await eventually(() => delivery(id)).toMatchObject({ state: "succeeded", attempt: 2 });
    expect((await call("GET", "orders")).json.failingSince).toBeUndefined();
    expect((await call("POST", `orders/deliveries/${id}/redeliver`)).status).toBe(202);
    await eventually(() => delivery(id)).toMatchObject({ state: "succeeded", attempt: 3 });
    const { json } = await call("GET", "orders/deliveries");
    expect(json.deliveries).toMatchObject([{ id, attempt: 3 }]);
  });

  test("for good is not tried again: refused destination, and 410, which disables the webhook", async () => {
    outcome = () => ({ state: "failed", failure: "destination_refused", detail: "not public" });
    await put();
    const refused = (await send()).json.id;
    await eventually(() => delivery(refused)).toMatchObject({ state: "failed", attempt: 1 });
    outcome = () => answered(410, "");
    const gone = (await send({ payload: 2 })).json.id;
    await eventually(() => delivery(gone)).toMatchObject({ state: "failed", attempt: 1 });
    expect((await call("GET", "orders")).json).toMatchObject({
      disabled: true,
      disabledBecause: expect.stringContaining("410"),
    });
    expect((await send({ payload: 3 })).json).toMatchObject({ status: 409, code: "conflict" });
    expect((await call("POST", "orders/enable")).json).toMatchObject({ disabled: false });
    expect((await call("GET", "orders")).json.disabledBecause).toBeUndefined();
    expect((await send({ payload: 3 })).status).toBe(202);
  });

  test("because no worker took it in time is tried again", async () => {
    outcome = () => undefined;
    await put();
    const { id } = (await send()).json;
    stage.clock.skip(300 + 121);
    await eventually(() => delivery(id)).toMatchObject({
      state: "waiting",
      attempts: [{ failure: { class: "expired" } }],
    });
  });

  test("for five days disables the webhook", async () => {
    outcome = () => answered(500, "");
    await put();
    const first = (await send({ payload: 1 })).json.id;
    await eventually(() => delivery(first)).toMatchObject({ state: "waiting" });
    stage.clock.skip(4 * 24 * HOUR);
    await eventually(() => delivery(first)).toMatchObject({ attempt: 2, state: "waiting" });
    expect((await call("GET", "orders")).json.disabled).toBe(false);
    stage.clock.skip(25 * HOUR);
    await eventually(async () => (await call("GET", "orders")).json.disabled).toBe(true);
    expect((await call("GET", "orders")).json.disabledBecause).toContain("failed since");
  });

  test("of two intakes one makes the next attempt", async () => {
    outcome = () => answered(500, "");
    await stage.start();
    await put();
    const ids = await Promise.all(
      Array.from({ length: 20 }, async (_, n) => (await send({ payload: n })).json.id as string),
    );
    for (const id of ids) await eventually(() => delivery(id)).toMatchObject({ state: "waiting" });
    stage.clock.skip(7);
    for (const id of ids)
      await eventually(() => delivery(id)).toMatchObject({ state: "waiting", attempt: 2 });
    expect(seen).toHaveLength(40);
  });
});

describe("a rotation", () => {
  test("keeps the old secret valid for a day, beside the new one", async () => {
    const first = (await put()).json.secret;
    const rotated = await call("POST", "orders/rotate");
    expect(rotated.json).toMatchObject({ secretVersion: 2, secret: expect.stringMatching(/^whsec_/) });
    expect(rotated.json.secret).not.toBe(first);
    await send({ payload: 1 });
    await eventually(() => seen.length).toBe(1);
    expect(await secretsOf(seen[0] as Message)).toEqual([rotated.json.secret, first]);
    stage.clock.skip(24 * HOUR + 1);
    await send({ payload: 2 });
    await eventually(() => seen.length).toBe(2);
    expect(await secretsOf(seen[1] as Message)).toEqual([rotated.json.secret]);
  });

  test("lets a message that was sealed before be signed by its own secret, for that day", async () => {
    outcome = () => answered(500, "");
    const first = (await put()).json.secret;
    const { id } = (await send()).json;
    await eventually(() => delivery(id)).toMatchObject({ state: "waiting" });
    await call("POST", "orders/rotate");
    stage.clock.skip(6);
    await eventually(() => seen.length).toBe(2);
    expect(await secretsOf(seen[1] as Message)).toEqual([first]);
    await eventually(() => delivery(id)).toMatchObject({ state: "waiting", attempt: 2 });
    stage.clock.skip(25 * HOUR);
    await eventually(() => delivery(id)).toMatchObject({ state: "failed" });
    expect((await delivery(id)).attempts[0].failure.detail).toContain("new secrets");
  });

  test("comes with another URL: a secret is sealed for its destination", async () => {
    const first = (await put()).json.secret;
    const moved = await put({ url: "https://other.example.com/in" });
    expect(moved.json).toMatchObject({ secretVersion: 2, secret: expect.stringMatching(/^whsec_/) });
    expect(moved.json.secret).not.toBe(first);
    await send();
    await eventually(() => seen.length).toBe(1);
    expect(seen[0]).toMatchObject({ policy: { origin: "https://other.example.com", paths: ["/in"] } });
    expect(await secretsOf(seen[0] as Message)).toEqual([moved.json.secret]);
  });
});

test("a deleted webhook leaves no secret, its waiting deliveries fail, and a new one has another version", async () => {
  outcome = () => answered(500, "");
  await put();
  const { id } = (await send()).json;
  await eventually(() => delivery(id)).toMatchObject({ state: "waiting" });
  expect((await call("DELETE", "orders")).status).toBe(204);
  expect(await stage.store.query(`org/${stage.acme}/webhook-secrets`)).toEqual([]);
  stage.clock.skip(6);
  await eventually(() => delivery(id)).toMatchObject({ state: "failed" });
  expect((await put()).json.secretVersion).toBe(2);
});

test.each([
  ["plain HTTP", { url: "http://hooks.example.com/" }, 422],
  ["an address", { url: "https://192.168.1.1/" }, 422],
  ["a port", { url: "https://hooks.example.com:25/" }, 422],
  ["user information", { url: "https://a:b@hooks.example.com/" }, 422],
  ["a fragment", { url: "https://hooks.example.com/#a" }, 422],
  ["an asterisk, which is a pattern", { url: "https://hooks.example.com/*" }, 422],
  ["an encoded slash", { url: "https://hooks.example.com/a%2fb" }, 422],
  ["a secret of the caller's", { secret: "whsec_AAAA" }, 400],
])("refused: %s", async (_, changes, status) => {
  expect((await put(changes)).status).toBe(status);
  expect((await call("GET", "orders")).status).toBe(404);
});

test("refused: a payload over 128 KiB, no payload, an id that is none", async () => {
  await put();
  expect((await send({ payload: "x".repeat(131_073) })).status).toBe(413);
  expect((await send({ payload: "x".repeat(300_000) })).status).toBe(413);
  expect((await send({})).status).toBe(400);
  expect((await send({ payload: 1, id: "a b" })).status).toBe(400);
  expect(seen).toEqual([]);
});
