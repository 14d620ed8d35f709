import { setTimeout as sleep } from "node:timers/promises";
import { StrongroomError } from "../../shared/errors.ts";
import { VaultUnreachableError } from "../../shared/vault/client.ts";

const POLL_MS = 25;

/**
 * Asks a Vault again and again until `check` gives a value; that it does not answer yet is no error. Throws
 * `step_timeout`, saying what was waited for, after `timeoutMs`.
 */
export async function until<T>(
  what: string,
  timeoutMs: number,
  check: () => Promise<T | undefined>,
): Promise<T> {
  for (const end = performance.now() + timeoutMs; ; await sleep(POLL_MS)) {
    try {
      const value = await check();
      if (value !== undefined) return value;
    } catch (error) {
      if (!(error instanceof VaultUnreachableError)) throw error;
    }
    if (performance.now() > end) {
      throw new StrongroomError("step_timeout", `The organization's Vault took too long to ${what}.`);
    }
  }
}
