import { setTimeout as sleep } from "node:timers/promises";
import { StrongroomError } from "../../shared/errors.ts";
import { CasConflictError } from "../../shared/vault/kv.ts";
import type { JobRecord } from "../registry/records.ts";
import { idempotencyKey, type Registry, sha256 } from "../registry/registry.ts";

/** A request that gets the same job however often it is sent: its key in the registry, and a digest of what it asks. */
export interface Once {
  key: string;
  digest: string;
}

/** A caller's own name for a request (`Idempotency-Key`), and what the request asks for. */
export const onceFor = (subject: string, name: string, asked: unknown): Once => ({
  key: idempotencyKey(subject, name),
  digest: sha256(JSON.stringify(asked)),
});

/** Remembers the job that a request gets; false if its key was used before. */
export async function remember({ idempotency }: Registry, once: Once, job: string): Promise<boolean> {
  try {
    await idempotency.create(once.key, { body: once.digest, job });
    return true;
  } catch (error) {
    if (error instanceof CasConflictError) return false;
    throw error;
  }
}

const RECALL_TRIES = 100;
const RECALL_WAIT_MS = 50;

/**
 * The job that a request got before, once it is known that it may go on: a request at the same time may still
 * meet a conflict. Undefined if its key is free. Throws `conflict` if the key was used for something else.
 */
export async function recall({ idempotency, jobs }: Registry, once: Once): Promise<JobRecord | undefined> {
  for (let tries = 0; tries < RECALL_TRIES; tries++) {
    const known = (await idempotency.read(once.key))?.value;
    if (!known) return undefined;
    if (known.body !== once.digest) {
      throw new StrongroomError("conflict", "The Idempotency-Key was used for another request.");
    }
    const job = (await jobs.read(known.job))?.value;
    if (job && job.steps[0]?.state !== "running") return job;
    await sleep(RECALL_WAIT_MS);
  }
  throw new StrongroomError(
    "conflict",
    "A request with this Idempotency-Key is still being taken up. Repeat it.",
  );
}
