import { setTimeout as sleep } from "node:timers/promises";

export interface PollOptions {
  /** Milliseconds between an answer and the next call. */
  everyMs: number;
  /** Milliseconds after which no further call is made. */
  withinMs: number;
  /** Aborts the wait, which then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** Calls `ask` until it returns a value, and returns that value; undefined if it took too long. */
export async function poll<T>(
  ask: () => Promise<T | undefined>,
  { everyMs, withinMs, signal }: PollOptions,
): Promise<T | undefined> {
  for (
    const end = performance.now() + withinMs;
    ;
    await sleep(everyMs, undefined, signal ? { signal } : {})
  ) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() >= end) return undefined;
  }
}
