import { expect, test } from "vitest";
import { isUseCall } from "../../../services/worker/broker/is-use-call.ts";

const policy = (changes: object = {}) => ({
  origin: "https://api.example.com",
  inject: { header: "Authorization", format: "Bearer {}" },
  rules: [{ id: "all", methods: ["GET"], paths: ["/**"], who: { level: "reader" } }],
  ...changes,
});
const call = (ofPolicy: unknown = policy(), changes: object = {}) => ({
  ...{ id: "00000000-0000-4000-8000-000000000000", token: "a.b.c", org: "o".padEnd(16, "a") },
  credential: { name: "stripe", version: 1, policy: ofPolicy, material: { envelope: "AAAA" } },
  request: { method: "GET", path: "/v1", headers: [], body: "none" },
  ...changes,
});

test("a call is one, again and again, also with another policy", () => {
  for (const each of [policy(), policy(), policy({ concurrency: 3 }), policy()]) {
    expect(isUseCall(call(each))).toBe(true);
  }
});

test("a policy that is none is refused, also after others that are, and again", () => {
  expect(isUseCall(call())).toBe(true);
  const bad = [policy({ concurrency: 0 }), policy({ more: 1 }), policy({ rules: [{}] }), {}, [], "x", null];
  for (const each of [...bad, ...bad]) expect(isUseCall(call(each))).toBe(false);
});

test.each([
  ["another member", { more: 1 }],
  ["no token", { token: "" }],
  ["another method", { request: { method: "TRACE", path: "/v1", headers: [], body: "none" } }],
])("so is a call with %s, though its policy is known", (_, changes) => {
  expect(isUseCall(call())).toBe(true);
  expect(isUseCall(call(policy(), changes))).toBe(false);
});
