import { rounded } from "./median.ts";

/** A number against its target; without one it is there to know. */
export interface Row {
  name: string;
  unit: string;
  result: number;
  target?: number;
  verdict?: "met" | "missed";
}

/** What was recorded so far, in order. */
export const rows: Row[] = [];

/** Adds a row, and says it on stderr. */
export function record(
  name: string,
  unit: string,
  value: number,
  target?: { most: number } | { least: number },
): void {
  const result = rounded(value);
  const row: Row = { name, unit, result };
  if (target) {
    row.target = "most" in target ? target.most : target.least;
    row.verdict = ("most" in target ? result <= target.most : result >= target.least) ? "met" : "missed";
  }
  rows.push(row);
  process.stderr.write(`${name}: ${result} ${unit}${row.verdict ? ` (${row.verdict})` : ""}\n`);
}
