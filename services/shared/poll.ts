import { setTimeout as sleep } from "node:timers/promises";

export interface PollOptions {
  /** Milliseconds from an answer to the next question. */
  everyMs: number;
  /** Milliseconds after which no further question is asked. */
  withinMs: number;
  /** Ends the waiting, which then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** Asks again and again until the answer is something, and returns it; undefined if it took too long. */
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
