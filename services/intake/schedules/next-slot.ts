import { Cron } from "croner";
import type { Timing } from "../../shared/api/schedules.ts";
import { StrongroomError } from "../../shared/errors.ts";

/**
 * The first slot after a time, in seconds since 1970: of a cron pattern in its time zone, or a whole number of intervals
 * after `anchor`. Throws `invalid_value` for a pattern or a time zone that does not exist, or that has no next slot.
 */
export function nextSlot(when: Timing, anchor: number, after: number): number {
  if ("everySeconds" in when) {
    const { everySeconds } = when;
    return anchor + (Math.floor(Math.max(after - anchor, 0) / everySeconds) + 1) * everySeconds;
  }
  const next = cronOf(when).nextRun(new Date(after * 1000));
  if (!next) throw invalid("/body/when/cron", "is never due");
  return Math.floor(next.getTime() / 1000);
}

function cronOf({ cron, timeZone = "UTC" }: { cron: string; timeZone?: string }): Cron {
  // Croner also takes seconds, years and nicknames such as @hourly.
  if (!/^[^\s@]+( [^\s]+){4}$/.test(cron)) {
    throw invalid("/body/when/cron", "is not five fields separated by one space each");
  }
  if (!isTimeZone(timeZone)) throw invalid("/body/when/timeZone", "is not an IANA time zone");
  try {
    return new Cron(cron, { timezone: timeZone, paused: true });
  } catch {
    throw invalid("/body/when/cron", "is not a cron pattern");
  }
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

const invalid = (pointer: string, message: string) =>
  new StrongroomError("invalid_value", "The schedule cannot be used. See `errors`.", {
    errors: [{ pointer, message }],
  });
