import { expect, test } from "vitest";
import { nextSlot } from "../../../services/intake/schedules/next-slot.ts";

const at = (text: string) => Date.parse(text) / 1000;
const next = (when: Parameters<typeof nextSlot>[0], after: string, anchor = 0) =>
  new Date(nextSlot(when, anchor, at(after)) * 1000).toISOString();

test("an interval's slots are whole intervals after the anchor; missed ones are skipped", () => {
  expect(nextSlot({ everySeconds: 60 }, 1_000, 1_000)).toBe(1_060);
  expect(nextSlot({ everySeconds: 60 }, 1_000, 1_059)).toBe(1_060);
  expect(nextSlot({ everySeconds: 60 }, 1_000, 1_060)).toBe(1_120);
  expect(nextSlot({ everySeconds: 60 }, 1_000, 5_001)).toBe(5_020);
});

test.each([
  ["0 4 * * *", undefined, "2026-06-01T03:59:59Z", "2026-06-01T04:00:00.000Z"],
  ["0 4 * * *", undefined, "2026-06-01T04:00:00Z", "2026-06-02T04:00:00.000Z"],
  ["0 4 * * *", "Europe/Vienna", "2026-06-01T00:00:00Z", "2026-06-01T02:00:00.000Z"],
  ["0 4 * * *", "Europe/Vienna", "2026-12-01T00:00:00Z", "2026-12-01T03:00:00.000Z"],
  ["*/15 * * * 1-5", undefined, "2026-06-06T10:00:00Z", "2026-06-08T00:00:00.000Z"],
])("%s in %s after %s is %s", (cron, timeZone, after, expected) => {
  expect(next({ cron, ...(timeZone !== undefined && { timeZone }) }, after)).toBe(expected);
});

test.each([
  ["* * * * * *", undefined, "/body/when/cron"],
  ["@hourly", undefined, "/body/when/cron"],
  ["* * * *", undefined, "/body/when/cron"],
  ["61 * * * *", undefined, "/body/when/cron"],
  ["not a cron at all", undefined, "/body/when/cron"],
  ["0 0 31 2 *", undefined, "/body/when/cron"],
  ["", undefined, "/body/when/cron"],
  ["* * * * *", "Europe/Atlantis", "/body/when/timeZone"],
  ["* * * * *", "", "/body/when/timeZone"],
])("%j in %j is refused", (cron, timeZone, pointer) => {
  const when = { cron, ...(timeZone !== undefined && { timeZone }) };
  expect(() => next(when, "2026-01-01T00:00:00Z")).toThrow(
    expect.objectContaining({ code: "invalid_value", errors: [expect.objectContaining({ pointer })] }),
  );
});
