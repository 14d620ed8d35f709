import { describe, expect, test } from "vitest";
import {
  type HeldToken,
  HeldTokens,
  type TokenOwner,
} from "../../../../services/worker/broker/token/held-tokens.ts";

const owner = (changes: Partial<TokenOwner> = {}): TokenOwner => ({
  ...{ org: "org-a", credential: "provider", since: 1, policy: "hash", ...changes },
});
const token = (lifeMs = 3_600_000, now = 0): HeldToken => ({
  ...{ bytes: Buffer.from("short-lived"), type: "bearer", names: [], expiresAt: now + lifeMs, lifeMs },
});
const isZero = ({ bytes }: HeldToken) => bytes.every((byte) => byte === 0);
const HOUR = 3_600;

describe("tokens in memory", () => {
  test("one is found for exactly its owner and what was asked", () => {
    const held = new HeldTokens();
    const kept = token();
    held.keep(owner(), "a", kept);
    expect(held.find(owner(), "a", HOUR, 0)).toBe(kept);
    expect(held.find(owner(), "b", HOUR, 0)).toBeUndefined();
    expect(held.find(owner({ org: "org-b" }), "a", HOUR, 0)).toBeUndefined();
    expect(held.find(owner({ credential: "other" }), "a", HOUR, 0)).toBeUndefined();
    expect(isZero(kept)).toBe(false);
  });

  test("one is zeroed once a later value or another policy is known, and not by a call that is late", () => {
    for (const changed of [{ since: 3 }, { policy: "another" }]) {
      const held = new HeldTokens();
      const kept = token();
      held.keep(owner({ since: 2 }), "a", kept);
      expect(held.find(owner({ since: 1 }), "a", HOUR, 0)).toBeUndefined();
      expect(held.find(owner({ since: 2 }), "a", HOUR, 0)).toBe(kept);
      expect(held.find(owner({ since: 2, ...changed }), "a", HOUR, 0)).toBeUndefined();
      expect(isZero(kept)).toBe(true);
      expect(held.find(owner({ since: 2 }), "a", HOUR, 0)).toBeUndefined();
    }
  });

  test("one is not found in the last minute, or quarter, of its life", () => {
    const held = new HeldTokens();
    held.keep(owner(), "hour", token());
    expect(held.find(owner(), "hour", HOUR, 3_539_000)).toBeDefined();
    expect(held.find(owner(), "hour", HOUR, 3_541_000)).toBeUndefined();
    const short = token(80_000);
    held.keep(owner(), "short", short);
    expect(held.find(owner(), "short", HOUR, 59_000)).toBeDefined();
    expect(held.find(owner(), "short", HOUR, 61_000)).toBeUndefined();
    expect(isZero(short)).toBe(true);
  });

  test("one that lives longer than asked for is not found, and kept", () => {
    const held = new HeldTokens();
    held.keep(owner(), "a", token());
    expect(held.find(owner(), "a", 600, 0)).toBeUndefined();
    expect(held.find(owner(), "a", HOUR, 0)).toBeDefined();
  });

  test("there are at most 32 of a credential, and 500 credentials of an organization, whose oldest are zeroed", () => {
    const held = new HeldTokens();
    const first = token();
    held.keep(owner(), "0", first);
    for (let index = 1; index <= 32; index++) held.keep(owner(), String(index), token());
    expect(isZero(first)).toBe(true);
    const others = token();
    held.keep(owner({ org: "org-b" }), "a", others);
    for (let index = 0; index < 500; index++) held.keep(owner({ credential: `c${index}` }), "a", token());
    expect(held.find(owner(), "32", HOUR, 0)).toBeUndefined();
    expect(held.find(owner({ org: "org-b" }), "a", HOUR, 0)).toBe(others);
  });

  test("what a destination refuses is dropped, unless it is younger than a minute", () => {
    const held = new HeldTokens();
    const kept = token();
    held.keep(owner(), "a", kept);
    held.drop("org-a", "provider", 59_000);
    expect(held.find(owner(), "a", HOUR, 59_000)).toBe(kept);
    held.drop("org-a", "provider", 61_000);
    expect(isZero(kept)).toBe(true);
    expect(held.find(owner(), "a", HOUR, 61_000)).toBeUndefined();
  });

  test("what has expired, and at the end all, is zeroed", () => {
    const held = new HeldTokens();
    const [early, late] = [token(60_000), token()];
    held.keep(owner(), "early", early);
    held.keep(owner(), "late", late);
    held.sweep(60_001);
    expect([isZero(early), isZero(late)]).toEqual([true, false]);
    held.forget();
    expect(isZero(late)).toBe(true);
  });
});
