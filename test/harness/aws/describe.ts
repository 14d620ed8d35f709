import { describe, inject, test } from "vitest";

/** A suite that needs an AWS emulator; where there is none, one test in its place that says so. */
export function describeOnAws(name: string, suite: () => void): void {
  if ("missing" in inject("moto")) test.skip("on AWS (skipped: no python3 with pip)", () => {});
  else describe(name, suite);
}
