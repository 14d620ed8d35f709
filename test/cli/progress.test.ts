import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createProgress, duration } from "../../services/cli/progress.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function stream(isTTY: boolean, columns = 80) {
  const written: string[] = [];
  return { isTTY, columns, written, write: (text: string) => void written.push(text) };
}

test("elsewhere than on a terminal a step is plain lines: at its start, every 15 s, at its end", () => {
  const out = stream(false);
  const step = createProgress(out).step("Building");
  step.update("3 of 5");
  vi.advanceTimersByTime(31_000);
  step.done("built");
  expect(out.written).toEqual([
    "Building …\n",
    "Building: 3 of 5 (15 s)\n",
    "Building: 3 of 5 (30 s)\n",
    "Building: built (31 s)\n",
  ]);
});

test("on a terminal a step is one line, rewritten each second and no wider than the terminal", () => {
  const out = stream(true, 20);
  const step = createProgress(out).step("Building");
  step.update("a text that is far too long");
  vi.advanceTimersByTime(2_000);
  const clear = "\r\u001b[2K";
  expect(out.written).toEqual([
    `${clear}Building (0.0 s)`,
    `${clear}Building: a text th`,
    `${clear}Building: a text th`,
  ]);
  step.fail("no disk");
  expect(out.written.slice(3)).toEqual([clear, "Building: failed: no disk (2.0 s)\n"]);
});

test("a line that comes during a step does not break its line", () => {
  const out = stream(true);
  const progress = createProgress(out);
  const step = progress.step("Waiting");
  progress.line("news");
  expect(out.written.slice(1)).toEqual(["\r\u001b[2Knews\n", "\r\u001b[2KWaiting (0.0 s)"]);
  step.done();
});

test("a step that has ended writes nothing more", () => {
  const out = stream(false);
  const step = createProgress(out).step("Once");
  step.done();
  step.fail();
  vi.advanceTimersByTime(60_000);
  expect(out.written).toHaveLength(2);
});

test.each([
  [0, "0.0 s"],
  [9_949, "9.9 s"],
  [12_400, "12 s"],
  [59_600, "1 min 0 s"],
  [247_000, "4 min 7 s"],
])("%i ms is %s", (ms, text) => {
  expect(duration(ms)).toBe(text);
});
