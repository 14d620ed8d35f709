import { describe, expect, test } from "vitest";
import type { Rule } from "../../../services/shared/broker/rules.ts";
import { UseLimits } from "../../../services/worker/broker/limits.ts";

const rule = (perMinute?: number, id = "all"): Rule => ({
  ...{ id, methods: ["GET"], paths: ["/**"], who: { level: "reader" } },
  ...(perMinute !== undefined && { rate: { perMinute } }),
});
const asked = (changes: object = {}) => ({
  ...{ org: "acme", credential: "stripe", concurrency: undefined, rule: rule() },
  ...changes,
});
const LIMITED = expect.objectContaining({ failure: "rate_limited" });

describe("calls in hand", () => {
  test("are limited of a credential, of an organization, and of all", () => {
    const limits = new UseLimits({ all: 4, ofOrg: 3, ofCredential: 2 });
    const first = limits.take(asked(), 0);
    limits.take(asked(), 0);
    expect(() => limits.take(asked(), 0)).toThrow(LIMITED);
    limits.take(asked({ credential: "other" }), 0);
    expect(() => limits.take(asked({ credential: "third" }), 0)).toThrow(LIMITED);
    limits.take(asked({ org: "globex" }), 0);
    expect(() => limits.take(asked({ org: "third" }), 0)).toThrow(LIMITED);
    expect(limits.size).toBe(4);
    first();
    first();
    expect(limits.size).toBe(3);
    limits.take(asked({ org: "globex" }), 0);
    expect(() => limits.take(asked({ org: "globex", credential: "b" }), 0)).toThrow(LIMITED);
  });

  test("of a credential are as many as its policy says", () => {
    const limits = new UseLimits();
    const release = limits.take(asked({ concurrency: 1 }), 0);
    expect(() => limits.take(asked({ concurrency: 1 }), 0)).toThrow(LIMITED);
    release();
    limits.take(asked({ concurrency: 1 }), 0)();
    expect(limits.size).toBe(0);
  });
});

describe("a rule's rate", () => {
  test("allows so many at once, and then one each part of a minute", () => {
    const limits = new UseLimits();
    const take = (now: number, perMinute = 6) => limits.take(asked({ rule: rule(perMinute) }), now)();
    for (let count = 0; count < 6; count++) take(0);
    expect(() => take(0)).toThrow(expect.objectContaining({ parts: { retryAfterSeconds: 10 } }));
    expect(() => take(9_999)).toThrow(LIMITED);
    take(10_000);
    expect(() => take(10_000)).toThrow(LIMITED);
    for (let count = 0; count < 6; count++) take(100_000);
    expect(() => take(100_000)).toThrow(LIMITED);
  });

  test("of one a minute is exact, also from the first request on", () => {
    const limits = new UseLimits();
    const take = (now: number) => limits.take(asked({ rule: rule(1) }), now)();
    take(1_000);
    for (const now of [1_000, 1_002, 30_000, 60_999]) expect(() => take(now)).toThrow(LIMITED);
    take(61_000);
  });

  test("is each rule's, credential's and organization's own, and not used up by what is refused", () => {
    const limits = new UseLimits();
    const rated = (changes: object = {}) => asked({ rule: rule(1), concurrency: 1, ...changes });
    const held = limits.take(rated(), 0);
    limits.take(rated({ credential: "other" }), 0);
    limits.take(rated({ org: "globex" }), 0);
    limits.take(asked({ credential: "third", rule: rule(1, "second") }), 0);
    expect(() => limits.take(rated(), 60_000)).toThrow("as many requests in hand");
    held();
    limits.take(rated(), 60_000);
  });
});
