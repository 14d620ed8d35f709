import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { createOrgLocks } from "../../../services/control-plane/jobs/org-locks.ts";

test("work on one organization is done one after the other, in order, also after a failure", async () => {
  const locks = createOrgLocks();
  const log: string[] = [];
  const work = (name: string, fails = false) =>
    locks.run("a", async () => {
      log.push(`${name} begins`);
      await sleep(2);
      log.push(`${name} ends`);
      if (fails) throw new Error(name);
      return name;
    });
  const results = await Promise.allSettled([work("one"), work("two", true), work("three")]);
  expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(log).toEqual(["one begins", "one ends", "two begins", "two ends", "three begins", "three ends"]);
  expect(locks.isHeld("a")).toBe(false);
});

test("work on different organizations is done at the same time", async () => {
  const locks = createOrgLocks();
  let release = () => {};
  const first = locks.run("a", () => new Promise<void>((resolve) => (release = resolve)));
  await locks.run("b", async () => {});
  expect([locks.isHeld("a"), locks.isHeld("b")]).toEqual([true, false]);
  release();
  await first;
});
