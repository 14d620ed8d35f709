import { expect, test } from "vitest";
import { Limits, network, TooManyRequests } from "../../services/gateway/limits.ts";

test.each([
  ["127.0.0.1", "127.0.0.1"],
  ["::ffff:10.1.2.3", "10.1.2.3"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
  ["2001:db8:1:2::9", "2001:db8:1:2"],
  ["2001:db8::9", "2001:db8:0:0"],
  ["::1", ":0:0:0"],
  [undefined, ""],
])("%s is of %s", (address, expected) => {
  expect(network(address)).toBe(expected);
});

test("without a rate there is no limit", () => {
  const limits = new Limits({});
  for (let i = 0; i < 10_000; i++) limits.countAddress("10.0.0.1", 0);
  expect(limits.addressWait("10.0.0.1", 0)).toBe(0);
  expect(limits.orgWait("o", 0)).toBe(0);
});

test("an organization pays for what it is let do, not for what it is refused", () => {
  const limits = new Limits({ org: { perSecond: 1, burst: 2 } });
  expect([0, 0, 0, 0].map(() => limits.orgWait("a", 0))).toEqual([0, 0, 1_000, 1_000]);
  expect(limits.orgWait("a", 1_000)).toBe(0);
  expect(limits.orgWait("b", 0)).toBe(0);
});

test("a refusal is held back, but for no more than ten thousand at once", async () => {
  const limits = new Limits({});
  const began = performance.now();
  const refusals = Array.from({ length: 10_001 }, () =>
    limits.refuse("org", 1_200).catch((error) => ({ error, ms: performance.now() - began })),
  );
  const first = (await Promise.race(refusals)) as { error: unknown; ms: number };
  expect(first.ms).toBeLessThan(240);
  expect(first.error).toBeInstanceOf(TooManyRequests);
  expect(first.error).toMatchObject({ retryAfterSeconds: 2, code: "too_many_requests" });
  const rest = (await Promise.all(refusals)) as { ms: number }[];
  expect(rest.filter(({ ms }) => ms > 240)).toHaveLength(10_000);
});
