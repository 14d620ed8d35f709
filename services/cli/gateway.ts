import { poll } from "../shared/poll.ts";
import { mintTenantToken } from "./identity-provider.ts";
import type { PlatformFile } from "./platform/state-folder.ts";

const SERVED_WITHIN_MS = 10_000;
const POLL_MS = 100;

/**
 * Waits until the gateway serves an organization: it relays its Vault's health once it has a directory with
 * the organization. Returns false if that takes longer than `timeoutMs`.
 */
export async function whenServed(
  platform: Pick<PlatformFile, "gateway" | "identityProvider">,
  claim: string,
  { timeoutMs = SERVED_WITHIN_MS, signal }: { timeoutMs?: number; signal?: AbortSignal } = {},
): Promise<boolean> {
  const token = await mintTenantToken(platform.identityProvider, { org: claim });
  const isServed = async () => {
    const answer = await fetch(`${platform.gateway}/v1/sys/health`, {
      headers: { authorization: `Bearer ${token.reveal()}` },
      signal: AbortSignal.timeout(5_000),
    }).catch(() => undefined);
    await answer?.body?.cancel();
    return answer?.status === 200 || undefined;
  };
  return (await poll(isServed, { everyMs: POLL_MS, withinMs: timeoutMs, signal })) === true;
}
