import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { Output } from "../../services/cli/output.ts";
import { waitFor } from "../../services/cli/wait.ts";

const output = () => {
  const stderr = new PassThrough();
  return { out: new Output(new PassThrough(), stderr), shown: () => String(stderr.read() ?? "") };
};
const counting = () => {
  let asked = 0;
  return async () => ++asked;
};
const waiting = (until: number, withinMs: number) => ({
  done: (now: number) => now >= until,
  doing: (now: number) => `asked ${now} times`,
  withinMs,
  hint: "Ask later.",
});

test("a short wait returns the answer and shows nothing", async () => {
  const { out, shown } = output();
  expect(await waitFor(out, "Waiting", counting(), waiting(4, 10_000))).toBe(4);
  expect(shown()).toBe("");
});

test("a wait over two seconds is shown, with its end", async () => {
  const { out, shown } = output();
  await waitFor(out, "Waiting for it", counting(), waiting(14, 30_000));
  expect(shown()).toMatch(/^Waiting for it …\nWaiting for it: done \(\d\.\d s\)\n$/);
});

test("one that takes too long ends with what to do", async () => {
  const { out } = output();
  await expect(waitFor(out, "Waiting", counting(), waiting(1e9, 100))).rejects.toMatchObject({
    exit: "unavailable",
    message: "Waiting: not within 0 s",
    hint: "Ask later.",
  });
});

test("what cannot be asked is thrown", async () => {
  const ask = () => Promise.reject(new Error("gone"));
  await expect(waitFor(output().out, "Waiting", ask, waiting(1, 100))).rejects.toThrow("gone");
});
