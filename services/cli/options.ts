import { Option } from "commander";
import { RIGHTS } from "../shared/front/levels.ts";
import { Failure } from "./failure.ts";

const SECONDS = { s: 1, m: 60, h: 3600 };

/** A port; 0 means any free port. */
export const port = (flags: string, description: string, preset: number) =>
  new Option(flags, description).default(preset).argParser((text) => {
    const value = Number(text);
    if (/^[0-9]{1,5}$/.test(text) && value <= 65_535) return value;
    throw wrong(flags, text, "a port (0 to 65535)");
  });

/** A duration like `30m` or `768h`, as seconds. `least` and `most` are durations too. */
export const period = (flags: string, description: string, { least = "1s", most = "768h" } = {}) =>
  new Option(flags, description).argParser((text) => {
    const seconds = secondsOf(text);
    if (seconds >= secondsOf(least) && seconds <= secondsOf(most)) return seconds;
    throw wrong(flags, text, `a duration from ${least} to ${most}, like 30s, 5m or 2h`);
  });

/** NaN for what is no duration. */
function secondsOf(text: string): number {
  const [, number, unit] = /^([0-9]{1,9})([smh])$/.exec(text) ?? [];
  return Number(number) * SECONDS[unit as keyof typeof SECONDS];
}

/** An integer, `least` or more. */
export const count = (flags: string, description: string, preset: number, least = 0) =>
  new Option(flags, description).default(preset).argParser((text) => {
    if (/^[0-9]{1,6}$/.test(text) && Number(text) >= least) return Number(text);
    throw wrong(flags, text, `a number from ${least} to 999999`);
  });

/** An option that may be given more than once. */
export const repeated = (flags: string, description: string) =>
  new Option(flags, description).argParser((text: string, earlier: string[] | undefined) => [
    ...(earlier ?? []),
    text,
  ]);

/** An option with some of the allowed values, separated by commas. */
export const listOf = (flags: string, description: string, allowed: readonly string[]) =>
  new Option(flags, description).argParser((text) => {
    const values = text.split(",");
    const foreign = values.find((value) => !allowed.includes(value));
    if (foreign !== undefined) throw wrong(flags, foreign, `one of ${allowed.join(", ")}`);
    return values;
  });

/** An option that may be given more than once, each time with a name and a value, as in `--header 'Accept: text/csv'`. */
export const pairs = (flags: string, description: string, separator: ":" | "=") =>
  new Option(flags, description).argParser((text: string, earlier: Record<string, string> | undefined) => {
    const cut = text.indexOf(separator);
    if (cut < 1) throw wrong(flags, text, `a name and a value with ${JSON.stringify(separator)} between`);
    return { ...earlier, [text.slice(0, cut).trim()]: text.slice(cut + 1).trim() };
  });

/** The group in a tenant's token. */
export const group = () =>
  new Option(
    "--group <group>",
    "writer may write, admin may also destroy; without it, the token may only read; the others may only rotate, or read receipts",
  ).choices(["writer", "admin", ...Object.values(RIGHTS)]);

const wrong = (flags: string, text: string, expected: string) =>
  new Failure("usage", `${flags.split(" ")[0]}: ${JSON.stringify(text)} is not ${expected}`);
