import { expect, test } from "vitest";
import { RateLimit } from "../../services/gateway/rate-limit.ts";

const rate = { perSecond: 10, burst: 3 };

test("so many at once, then one after each interval", () => {
  const limit = new RateLimit(rate, 10);
  for (let i = 0; i < 3; i++) {
    expect(limit.wait("a", 1_000)).toBe(0);
    limit.count("a", 1_000);
  }
  expect(limit.wait("a", 1_000)).toBe(100);
  expect(limit.wait("a", 1_099)).toBe(1);
  expect(limit.wait("a", 1_100)).toBe(0);
  limit.count("a", 1_100);
  expect(limit.wait("a", 1_100)).toBe(100);
  expect(limit.wait("b", 1_100)).toBe(0);
});

test("whoever pauses has it all again, and no more than that", () => {
  const limit = new RateLimit(rate, 10);
  for (let i = 0; i < 3; i++) limit.count("a", 0);
  for (let i = 0; i < 3; i++) {
    expect(limit.wait("a", 60_000)).toBe(0);
    limit.count("a", 60_000);
  }
  expect(limit.wait("a", 60_000)).toBeGreaterThan(0);
});

test("several units at once have the wait of so many", () => {
  const limit = new RateLimit(rate, 10);
  limit.count("a", 0, 2);
  expect(limit.wait("a", 0)).toBe(0);
  limit.count("a", 0, 30);
  expect(limit.wait("a", 0)).toBe(3_000);
  expect(limit.wait("a", 2_999)).toBe(1);
  expect(limit.wait("a", 3_000)).toBe(0);
});

test("what is owed is told in units", () => {
  const limit = new RateLimit(rate, 10);
  expect(limit.debt("a", 0)).toBe(0);
  limit.count("a", 0, 3);
  expect([0, 50, 100].map((now) => limit.debt("a", now))).toEqual([1, 0.5, 0]);
  limit.count("a", 0, 20);
  expect(limit.debt("a", 0)).toBe(21);
});

test("no more keys than allowed: the one known for longest goes", () => {
  const limit = new RateLimit({ perSecond: 1, burst: 1 }, 3);
  for (const key of ["a", "b", "c", "b", "d"]) limit.count(key, 0);
  expect(limit.size).toBe(3);
  expect(limit.wait("a", 0)).toBe(0);
  for (const key of ["b", "c", "d"]) expect(limit.wait(key, 0)).toBeGreaterThan(0);
});

test("new keys never add to the memory, and a known key pushes nobody out", () => {
  const limit = new RateLimit({ perSecond: 1, burst: 1 }, 3);
  for (let i = 0; i < 1_000; i++) {
    limit.count(`attacker-${i}`, 0);
    expect(limit.size).toBe(Math.min(i + 1, 3));
  }
  for (let i = 0; i < 5; i++) limit.count("attacker-999", 0);
  for (const key of ["attacker-997", "attacker-998", "attacker-999"]) {
    expect(limit.wait(key, 0)).toBeGreaterThan(0);
  }
  expect(limit.wait("attacker-996", 0)).toBe(0);
});
