import { expect, test } from "vitest";
import { coalesce } from "../../services/shared/coalesce.ts";

test("calls during a run share the next, which begins after them", async () => {
  const ends: (() => void)[] = [];
  let begun = 0;
  const run = coalesce(() => {
    const number = ++begun;
    return new Promise<number>((resolve) => ends.push(() => resolve(number)));
  });
  const first = run();
  await expect.poll(() => begun).toBe(1);
  const [second, third] = [run(), run()];
  ends[0]?.();
  expect(await first).toBe(1);
  await expect.poll(() => begun).toBe(2);
  ends[1]?.();
  expect([await second, await third]).toEqual([2, 2]);
});

test("one that fails is told to those who asked for it, and the next runs", async () => {
  let runs = 0;
  const run = coalesce(async () => {
    if (++runs === 1) throw new Error("broken");
    return "done";
  });
  await expect(run()).rejects.toThrow("broken");
  expect(await run()).toBe("done");
});
