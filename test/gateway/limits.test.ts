import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test, vi } from "vitest";
import { isCallersFault, Limits, network, TooManyRequests } from "../../services/gateway/limits.ts";
import { StrongroomError } from "../../services/shared/errors.ts";

test.each([
  ["127.0.0.1", "127.0.0.1"],
  ["::ffff:10.1.2.3", "10.1.2.3"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
  ["2001:db8:1:2::9", "2001:db8:1:2"],
  ["2001:db8::9", "2001:db8:0:0"],
  ["::1", ":0:0:0"],
  ["::ffff:a01:203", ":0:0:0"],
  [undefined, ""],
])("%s is of %s", (address, expected) => {
  expect(network(address)).toBe(expected);
});

test("without a rate there is no limit", () => {
  const limits = new Limits({});
  for (let i = 0; i < 10_000; i++) limits.countAddress("10.0.0.1", 0);
  expect(limits.addressWait("10.0.0.1", 0)).toBe(0);
  expect(limits.isBarred("10.0.0.1", 0)).toBe(false);
  limits.chargeOrg("o", 10_000, 0);
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
  limits.chargeOrg("c", 11, 9_000);
  limits.chargeOrg("c", 1, 9_000);
  expect(limits.orgWait("c", 9_000)).toBe(3_000);
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
  limits.chargeOrg("org-10000", 0, 0); // nothing, which pushes nobody out
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

test.each([
  [0, 250],
  [0.5, 500],
])("between a quarter and three quarters of a second: by %d for %i ms", async (random, ms) => {
  vi.spyOn(Math, "random").mockReturnValue(random);
  onTestFinished(() => void vi.restoreAllMocks());
  // Timers of one loop go off in their order, however busy the machine is.
  const order: string[] = [];
  const before = sleep(ms).then(() => order.push("before"));
  const held = new Limits({}).holdBack().then(() => order.push("held"));
  const after = sleep(ms).then(() => order.push("after"));
  await Promise.all([before, held, after]);
  expect(order).toEqual(["before", "held", "after"]);
});

test("a refusal says after how many seconds to try again", () => {
  expect([1, 1_000, 1_001, 2_000].map((ms) => new TooManyRequests("org", ms).retryAfterSeconds)).toEqual([
    ...[1, 1, 2, 2],
  ]);
  expect(new TooManyRequests("org", 1)).toMatchObject({
    name: "TooManyRequests",
    code: "too_many_requests",
    message: "Too many requests: try again later.",
    cause: "org",
  });
});

test("the caller's fault is what it asked for, not what goes on here, nor that it asked too often", () => {
  for (const code of ["invalid_request", "forbidden", "recovery_key_unusable"] as const) {
    expect(isCallersFault(new StrongroomError(code, "no")), code).toBe(true);
  }
  for (const code of ["internal", "org_vault_sealed"] as const) {
    expect(isCallersFault(new StrongroomError(code, "no")), code).toBe(false);
  }
  expect(isCallersFault(new TooManyRequests("org", 1))).toBe(false);
  expect(isCallersFault(Object.assign(new Error("no"), { status: 400 }))).toBe(false);
});
