import { StrongroomError } from "../../shared/errors.ts";
import { poll } from "../../shared/poll.ts";
import { VaultUnreachableError } from "../../shared/vault/client.ts";

const POLL_MS = 25;

/**
 * Polls a Vault until `check` returns a value; an unreachable Vault is not an error. Throws `step_timeout`, which
 * names the awaited condition `what`, after `timeoutMs`.
 */
export async function until<T>(
  what: string,
  timeoutMs: number,
  check: () => Promise<T | undefined>,
): Promise<T> {
  const ask = () =>
    check().catch((error: unknown) => {
      if (error instanceof VaultUnreachableError) return undefined;
      throw error;
    });
  const value = await poll(ask, { everyMs: POLL_MS, withinMs: timeoutMs });
  if (value !== undefined) return value;
  throw new StrongroomError("step_timeout", `The organization's Vault took too long to ${what}.`);
}
