import { setTimeout as sleep } from "node:timers/promises";
import { StrongroomError } from "../shared/errors.ts";

const MOST_TRIES = 10;
const WAIT_MS = 10;

/** Calls again if something else has changed the same item in between. Throws `conflict` if that goes on. */
export async function retryConflicts<T>(attempt: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const result = await attempt();
    if (result !== undefined) return result;
    // Random, so that competing writers do not retry in step.
    await sleep(Math.random() * WAIT_MS * (tries + 1));
  }
  throw new StrongroomError("conflict", "Others are changing it at the same time. Try again.");
}
