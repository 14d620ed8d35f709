import { setTimeout as sleep } from "node:timers/promises";
import { Failure } from "./failure.ts";
import type { Output } from "./output.ts";
import { createProgress, type ProgressStep } from "./progress.ts";

const QUIET_MS = 2_000;
const FIRST_MS = 25;
const SLOWEST_MS = 500;

/**
 * Asks again and again, less and less often, until `done` holds, and returns that answer. After two seconds it shows
 * that it waits, and for what. Failure `unavailable` after `withinMs`, with the hint.
 */
export async function waitFor<T>(
  out: Output,
  label: string,
  ask: () => Promise<T>,
  { done, doing, withinMs, hint }: Waiting<T>,
): Promise<T> {
  const begun = performance.now();
  let step: ProgressStep | undefined;
  for (let pause = FIRST_MS; ; pause = Math.min(SLOWEST_MS, pause * 1.5)) {
    const now = await ask();
    const ms = performance.now() - begun;
    if (done(now)) {
      step?.done();
      return now;
    }
    if (ms > withinMs) {
      step?.fail("not yet");
      throw new Failure("unavailable", `${label}: not within ${Math.round(withinMs / 1000)} s`, hint);
    }
    if (ms > QUIET_MS) step ??= createProgress(out.stderr).step(label);
    step?.update(doing(now));
    await sleep(pause);
  }
}

export interface Waiting<T> {
  done(now: T): boolean;
  /** What it is doing now, for the line of progress. */
  doing(now: T): string;
  withinMs: number;
  hint: string;
}
