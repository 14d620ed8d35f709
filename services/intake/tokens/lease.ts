import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { StrongroomError } from "../../shared/errors.ts";
import type { Intake } from "../dependencies.ts";
import type { Key } from "../store/store.ts";

/** Longer than the broker needs for an exchange and the intake for a write; whoever ends meanwhile blocks for so long. */
const LEASE_SECONDS = 60;
const WAIT_MS = 10_000;
const POLL_MS = { first: 25, most: 200 };

const leaseKey = (org: string, name: string): Key => ({ partition: `org/${org}/grant-leases`, sort: name });

/**
 * Runs `work` while no other intake uses or replaces the value of a credential whose provider may replace it: load,
 * exchange and save must be one, or two refreshers lose the grant. Waits at most ten seconds for others. Throws
 * `destination_timeout` if they take longer, and what `work` throws.
 */
export async function withGrantLease<T>(
  { store, now, log }: Pick<Intake, "store" | "now" | "log">,
  org: string,
  name: string,
  work: () => Promise<T>,
): Promise<T> {
  const key = leaseKey(org, name);
  const owner = randomUUID();
  const until = performance.now() + WAIT_MS;
  const take = () =>
    store.write([
      { ...key, body: { owner }, expect: 0, expiresAt: Math.floor(now() / 1000) + LEASE_SECONDS },
    ]);
  for (let wait = POLL_MS.first; !(await take()); wait = Math.min(wait * 2, POLL_MS.most)) {
    if (performance.now() >= until) {
      const detail = "Another request has been obtaining a token of this credential for too long. Try again.";
      throw new StrongroomError("destination_timeout", detail);
    }
    await sleep(wait * (0.5 + Math.random()));
  }
  try {
    return await work();
  } finally {
    await release().catch((err: unknown) => {
      log.warn({ org, credential: name, err }, "a grant's lease was not released; it expires");
    });
  }

  /** Unless it has expired and is another's. */
  async function release(): Promise<void> {
    const held = await store.get<{ owner: string }>(key);
    if (held?.body.owner !== owner) return;
    await store.write([{ ...key, remove: true, expect: held.revision }]);
  }
}
