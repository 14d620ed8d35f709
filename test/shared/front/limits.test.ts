import { expect, test } from "vitest";
import { Limits, network, TooManyRequests } from "../../../services/shared/front/limits.ts";

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

test("an organization pays by units, also for those told afterwards", () => {
  const limits = new Limits({ org: { perSecond: 1, burst: 10 } });
  expect(limits.orgWait("a", 0, 9)).toBe(0);
  limits.chargeOrg("a", 0, 0);
  expect(limits.orgWait("a", 0, 5)).toBe(0);
  expect(limits.orgWait("a", 0)).toBe(5_000);
  limits.chargeOrg("a", 3, 0);
  expect(limits.orgWait("a", 0)).toBe(8_000);
  expect(limits.orgWait("b", 0)).toBe(0);
});

test("so does an address", () => {
  const limits = new Limits({ address: { perSecond: 1, burst: 10 } });
  limits.countAddress("10.0.0.1", 0, 10);
  expect(limits.addressWait("10.0.0.1", 0)).toBe(1_000);
  expect(limits.addressWait("10.0.0.2", 0)).toBe(0);
});

test("an address that owes more than two hundred units is barred", () => {
  const limits = new Limits({ address: { perSecond: 1, burst: 10 } });
  limits.countAddress("10.0.0.1", 0, 209);
  expect(limits.isBarred("10.0.0.1", 0)).toBe(false);
  limits.countAddress("10.0.0.1", 0);
  expect(limits.isBarred("10.0.0.1", 0)).toBe(true);
  expect(limits.isBarred("10.0.0.1", 1_000)).toBe(false);
  expect(limits.isBarred("10.0.0.2", 0)).toBe(false);
});

test("a hundred thousand addresses are known, and ten thousand organizations", () => {
  const limits = new Limits({ address: { perSecond: 1, burst: 1 }, org: { perSecond: 1, burst: 1 } });
  const address = (i: number) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
  for (let i = 0; i < 100_000; i++) limits.countAddress(address(i), 0);
  expect(limits.addressWait(address(0), 0)).toBe(1_000);
  limits.countAddress(address(100_000), 0);
  expect(limits.addressWait(address(0), 0)).toBe(0);
  expect(limits.addressWait(address(1), 0)).toBe(1_000);
  for (let i = 0; i < 10_000; i++) limits.orgWait(`org-${i}`, 0);
  expect(limits.orgWait("org-0", 0)).toBe(1_000);
  limits.orgWait("org-10000", 0);
  expect(limits.orgWait("org-0", 0)).toBe(0);
});

test("refusals that have been held back make room for others", async () => {
  const limits = new Limits({});
  await Promise.all(Array.from({ length: 10_000 }, () => limits.holdBack()));
  const began = performance.now();
  await limits.holdBack();
  expect(performance.now() - began).toBeGreaterThan(240);
});

test("refusals are held back, but no more than ten thousand at once", async () => {
  const limits = new Limits({});
  const began = performance.now();
  const held = Array.from({ length: 10_001 }, (_, i) =>
    limits.holdBack().then(() => ({ i, ms: performance.now() - began })),
  );
  expect(await Promise.race(held)).toMatchObject({ i: 10_000 });
  const others = (await Promise.all(held)).slice(0, -1);
  expect(others.filter(({ ms }) => ms < 240)).toEqual([]);
});

test("a refusal says after how many seconds to try again", () => {
  expect(new TooManyRequests("org", 1_200)).toMatchObject({
    retryAfterSeconds: 2,
    code: "too_many_requests",
    cause: "org",
  });
});
