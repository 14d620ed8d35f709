import { expect, test } from "vitest";
import { poll } from "../../services/shared/poll.ts";

test("what is asked for is returned as soon as it is there, whatever it is but undefined", async () => {
  const answers = [undefined, undefined, false];
  expect(await poll(async () => answers.shift(), { everyMs: 1, withinMs: 10_000 })).toBe(false);
  expect(answers).toEqual([]);
});

test("it is asked once at least, and not after its time", async () => {
  let asked = 0;
  const never = async () => void asked++;
  expect(await poll(never, { everyMs: 1, withinMs: 0 })).toBeUndefined();
  expect(asked).toBe(1);
  const begun = performance.now();
  expect(await poll(never, { everyMs: 5, withinMs: 50 })).toBeUndefined();
  expect(performance.now() - begun).toBeGreaterThanOrEqual(49);
});

test("what asking throws is thrown, and a signal ends the waiting", async () => {
  const broken = new Error("broken");
  await expect(poll(() => Promise.reject(broken), { everyMs: 1, withinMs: 1_000 })).rejects.toBe(broken);
  const signal = AbortSignal.timeout(20);
  const waiting = poll(async () => undefined, { everyMs: 60_000, withinMs: 60_000, signal });
  await expect(waiting).rejects.toThrow(expect.objectContaining({ name: "AbortError" }));
});
