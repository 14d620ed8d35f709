import { StrongroomError } from "../../shared/errors.ts";
import { poll } from "../../shared/poll.ts";
import { CasConflictError } from "../../shared/vault/kv.ts";
import type { JobRecord } from "../registry/records.ts";
import { idempotencyKey, type Registry, sha256 } from "../registry/registry.ts";

/** An idempotent request: its key in the registry, and a digest of its content. */
export interface Once {
  key: string;
  digest: string;
}

/** An idempotent request of a subject: `name` is its `Idempotency-Key`, `asked` its content. */
export const onceFor = (subject: string, name: string, asked: unknown): Once => ({
  key: idempotencyKey(subject, name),
  digest: sha256(JSON.stringify(asked)),
});

/** Records the job of a request; false if its key was used before. */
export async function remember({ idempotency }: Registry, once: Once, job: string): Promise<boolean> {
  try {
    await idempotency.create(once.key, { body: once.digest, job });
    return true;
  } catch (error) {
    if (error instanceof CasConflictError) return false;
    throw error;
  }
}

const RECALL_EVERY_MS = 50;
const RECALL_WITHIN_MS = 5_000;

/**
 * The job of an earlier identical request, once its first step has passed: until then a concurrent request may
 * still fail with a conflict. Undefined if the key is free. Throws `conflict` if the key was used for another
 * request.
 */
export async function recall({ idempotency, jobs }: Registry, once: Once): Promise<JobRecord | undefined> {
  const outcome = await poll<JobRecord | "free">(
    async () => {
      const known = (await idempotency.read(once.key))?.value;
      if (!known) return "free";
      if (known.body !== once.digest) {
        throw new StrongroomError("conflict", "The Idempotency-Key was used for another request.");
      }
      const job = (await jobs.read(known.job))?.value;
      return job && job.steps[0]?.state !== "running" ? job : undefined;
    },
    { everyMs: RECALL_EVERY_MS, withinMs: RECALL_WITHIN_MS },
  );
  if (outcome) return outcome === "free" ? undefined : outcome;
  throw new StrongroomError(
    "conflict",
    "A request with this Idempotency-Key is still being processed. Try again.",
  );
}
