import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { BrokerPolicy } from "../../../services/shared/broker/policy.ts";
import { newJobId } from "../../harness/credential-jobs.ts";
import { type KeyApi, startKeyApi } from "../../harness/key-api.ts";
import { rotationJobs } from "../../harness/rotation-jobs.ts";

let api: KeyApi;
beforeEach(async () => {
  api = await startKeyApi();
});
afterEach(() => api.close());

const outside = () => ({ privateDestinations: new Map([[api.origin, api.exception]]) });
const json = (response: ServerResponse, status: number, body: string) => {
  response.writeHead(status, { "content-type": "application/json" }).end(body);
  return true;
};

describe("a provider with an API for its keys", () => {
  test("makes a key by the current one, which is sealed for the next version", async () => {
    const first = api.issue();
    const jobs = rotationJobs(api.policy(first.id), outside());
    const made = await jobs.phase("make", first.value);
    const value = await jobs.opened(made.envelope);
    expect(api.alive()).toContainEqual({ id: made.key, value });
    expect(made.traffic).toMatchObject({ status: 201, sentBytes: 21 });
    expect(JSON.stringify(made)).not.toContain(value);
    await expect(jobs.opened(made.envelope, 1)).rejects.toThrow();
    await jobs.phase("check", first.value, { pending: { envelope: made.envelope ?? "" } });
  });

  test("asked twice under one key of idempotency, it makes one", async () => {
    const first = api.issue();
    const jobs = rotationJobs(api.policy(first.id), outside());
    const once = newJobId();
    const one = await jobs.phase("make", first.value, { once });
    const two = await jobs.phase("make", first.value, { once });
    expect(two.key).toBe(one.key);
    expect(api.alive()).toHaveLength(2);
  });

  test("the old key is revoked by the new one, and a second time too", async () => {
    const [old, current] = [api.issue(), api.issue()];
    const jobs = rotationJobs(api.policy(), outside());
    for (let times = 0; times < 2; times++) await jobs.phase("revoke", current.value, { key: old.id });
    expect(api.alive()).toEqual([current]);
    expect(api.requests.map(({ by }) => by)).toEqual([current.id, current.id]);
  });

  test("if the new key may not revoke the old one, that revokes itself, once the new one has been checked", async () => {
    const [old, current] = [api.issue(), api.issue()];
    const jobs = rotationJobs(api.policy(), outside());
    api.fault = (line, when, response) =>
      when === "before" &&
      line.startsWith("DELETE") &&
      api.requests.at(-1)?.by === current.id &&
      json(response, 403, "{}");
    const retiring = { version: 1, material: await jobs.material(old.value, 1) };
    const again = { material: await jobs.material(current.value, 2), version: 2 };
    await jobs.phase("revoke", "", { key: old.id, retiring, ...again });
    expect(api.alive()).toEqual([current]);
    expect(api.requests.map(({ line }) => line)).toEqual([
      `DELETE /v1/keys/${old.id}`,
      "GET /v1/me",
      `DELETE /v1/keys/${old.id}`,
    ]);
  });

  test("an id is one segment of the path, whatever it is", async () => {
    const current = api.issue();
    const jobs = rotationJobs(api.policy(), outside());
    await jobs.phase("revoke", current.value, { key: "me?x=y&z#ä" });
    expect(api.requests.at(-1)?.line).toBe("DELETE /v1/keys/me%3Fx%3Dy%26z%23%C3%A4");
  });

  test.each(["..", ".", "../me", "a/b", "%2e%2e", "..;a"])("nothing is sent for the id %s", async (key) => {
    const current = api.issue();
    const sent = api.requests.length;
    const revoked = rotationJobs(api.policy(), outside()).phase("revoke", current.value, { key });
    await expect(revoked).rejects.toMatchObject({ failure: "request_not_allowed" });
    expect(api.requests.length).toBe(sent);
  });
});

const LONG = "x".repeat(300 * 1024);
describe("an answer that is no key", () => {
  test.each([
    ["is not JSON", 201, "<html>", "answer_unusable"],
    ["is null", 201, "null", "answer_unusable"],
    ["has it elsewhere", 201, '{"secret":"sk-0123456789","id":"1"}', "answer_unusable"],
    ["has a number in its place", 201, '{"key":{"secret":123456789012,"id":"1"}}', "answer_unusable"],
    ["has it inherited", 201, '{"key":{"__proto__":{"secret":"sk-0123456789"},"id":"1"}}', "answer_unusable"],
    ["is too short", 201, '{"key":{"secret":"short","id":"1"}}', "answer_unusable"],
    ["is too long", 201, `{"key":{"secret":"${"x".repeat(65_537)}","id":"1"}}`, "answer_unusable"],
    ["has no id", 201, '{"key":{"secret":"sk-0123456789"}}', "answer_unusable"],
    ["has an id that is none", 201, '{"key":{"secret":"sk-0123456789","id":{}}}', "answer_unusable"],
    ["is endless", 201, LONG, "answer_too_large"],
    ["is a redirection", 302, "{}", "provider_refused"],
    ["refuses", 403, "{}", "provider_refused"],
    ["has a limit", 429, "{}", "unreachable"],
    ["is broken", 503, "{}", "unreachable"],
  ])("that %s", async (_, status, body, failure) => {
    const first = api.issue();
    const jobs = rotationJobs(api.policy(first.id), outside());
    api.fault = (_line, when, response) => when === "before" && json(response, status, body);
    const made = await jobs.phase("make", first.value).catch((error: Error) => error);
    expect(made).toMatchObject({ failure, traffic: { sentBytes: 21 } });
    expect((made as Error).message).not.toMatch(/sk-|short|xxx/);
  });
});

describe("what a message may not ask for", () => {
  test("another policy than the sealed one", async () => {
    const first = api.issue();
    const jobs = rotationJobs(api.policy(first.id), outside());
    const policy = { ...api.policy(first.id), origin: "https://evil.example.com" };
    const made = jobs.phase("make", first.value, { policy });
    await expect(made).rejects.toThrow("another context");
  });

  test("a rotation without a recipe", async () => {
    const first = api.issue();
    const { rotation: _, ...policy } = api.policy();
    const jobs = rotationJobs(policy as BrokerPolicy, outside());
    await expect(jobs.phase("make", first.value)).rejects.toMatchObject({ failure: "policy_mismatch" });
  });

  test.each([
    ["check", {}],
    ["revoke", {}],
    ["make", { once: undefined }],
    ["apply", {}],
  ] as const)("%s without what it needs", async (phase, more) => {
    const first = api.issue();
    const jobs = rotationJobs(api.policy(first.id), outside());
    const done = jobs.phase(phase, first.value, more as object);
    await expect(done).rejects.toMatchObject({ failure: expect.stringMatching(/malformed|policy_mismatch/) });
    expect(api.requests).toEqual([]);
  });

  test("the value is never in the request's line, and bytes are zeroed after", async () => {
    const first = api.issue();
    const jobs = rotationJobs(api.policy(first.id), outside());
    await jobs.phase("make", first.value);
    expect(jobs.keys.givenOut.every((key) => key.every((byte) => byte === 0))).toBe(true);
    expect(api.requests.every(({ line }) => !line.includes(first.value))).toBe(true);
  });
});
