import type { SealedPurpose, SealingKeys } from "../../shared/api/credentials.ts";
import { isPublicKey } from "../../shared/envelope/sealing.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { nextVersion } from "../credentials/records.ts";
import type { Intake } from "../dependencies.ts";
import { newSealingKeyId, newWorkId } from "../ids.ts";
import type { Jobs } from "../jobs/jobs.ts";
import { inState, type JobRecord, type KeyWork } from "../jobs/records.ts";
import type { WorkType } from "../jobs/work-type.ts";
import type { Item } from "../store/store.ts";
import { dropUnusedKeys } from "./drop-unused.ts";
import {
  type KeysOf,
  MOST_KEYS,
  type SealingKeyRecord,
  type SealingState,
  sealingKeyKey,
  sealingKeysPartition,
  sealingStateKey,
} from "./records.ts";

/** How long a request waits for a worker to make a key. */
const WAIT_MS = 5_000;
const LOOK_EVERY_MS = 250;
/** A worker that has not made the key by then will not: another is asked for. */
const MAKE_WITHIN_SECONDS = 60;

export interface SealingParts {
  intake: Intake;
  jobs: Jobs;
}

/**
 * An organization's public keys for a purpose; the first call has a worker make one. Throws `key_provider_unavailable` if that takes
 * longer than five seconds: the next call may find it.
 */
export async function sealingKeys(
  parts: SealingParts,
  of: KeysOf,
  credential: string | undefined,
): Promise<SealingKeys> {
  const { store } = parts.intake;
  const state = await store.get<SealingState>(sealingStateKey(of));
  if (state?.body.current === undefined) await waitForKey(parts, of, await makeKey(parts, of, state));
  return {
    ...(await listKeys(parts, of)),
    ...(credential !== undefined && { nextVersion: await nextVersion(store, of.org, credential) }),
  };
}

/**
 * Has a worker make a new key, which is current from then on, and drops older ones to which no credential is sealed any
 * more. Throws as {@link sealingKeys}, and `conflict`.
 */
export async function rotateSealingKey(parts: SealingParts, of: KeysOf): Promise<SealingKeys> {
  const { store } = parts.intake;
  // Before it too, since there may be as many as there may be.
  await dropUnusedKeys(store, of);
  const state = await store.get<SealingState>(sealingStateKey(of));
  await waitForKey(parts, of, await makeKey(parts, of, state));
  await dropUnusedKeys(store, of);
  return listKeys(parts, of);
}

async function listKeys({ intake: { store } }: SealingParts, of: KeysOf): Promise<SealingKeys> {
  const [state, items] = await Promise.all([
    store.get<SealingState>(sealingStateKey(of)),
    store.query<SealingKeyRecord>(sealingKeysPartition(of), { limit: MOST_KEYS }),
  ]);
  const keys = items
    .map(({ body: { id, publicKey, createdAt } }) => ({
      ...{ id, publicKey, createdAt },
      state: id === state?.body.current ? ("current" as const) : ("old" as const),
    }))
    .sort(
      (a, b) =>
        Number(b.state === "current") - Number(a.state === "current") ||
        b.createdAt.localeCompare(a.createdAt),
    );
  return { org: of.org, keys };
}

/** Asks for a key unless one is being made. Returns its job's id. */
async function makeKey(
  { intake, jobs }: SealingParts,
  of: KeysOf,
  state: Item<SealingState> | undefined,
): Promise<string> {
  const { store, now } = intake;
  const seconds = Math.floor(now() / 1000);
  if (state?.body.making && state.body.making.until > seconds) return state.body.making.job;
  if ((await store.query(sealingKeysPartition(of), { limit: MOST_KEYS })).length >= MOST_KEYS) {
    throw new StrongroomError(
      "conflict",
      `The organization has ${MOST_KEYS} sealing keys, as many as it may have.`,
    );
  }
  const key = newSealingKeyId();
  const job = jobs.create({
    ...{ org: of.org, kind: of.purpose, id: newWorkId(now()) },
    work: { type: "make-sealing-key", key },
    timeoutSeconds: MAKE_WITHIN_SECONDS,
  });
  const making = { key, job: job.id, until: seconds + MAKE_WITHIN_SECONDS };
  const isWritten = await store.write([
    { ...sealingStateKey(of), body: { ...state?.body, making }, expect: state?.revision ?? 0 },
    ...jobs.writes(job, 0),
  ]);
  if (!isWritten) {
    const other = await store.get<SealingState>(sealingStateKey(of));
    if (other?.body.making) return other.body.making.job;
    throw new StrongroomError("conflict", "The sealing key was changed at the same time. Try again.");
  }
  await jobs.send(job);
  return job.id;
}

async function waitForKey({ intake, jobs }: SealingParts, of: KeysOf, job: string): Promise<void> {
  const key = { org: of.org, kind: of.purpose, id: job };
  for (const end = performance.now() + WAIT_MS; performance.now() < end; ) {
    const changed = intake.watch.next(job, LOOK_EVERY_MS);
    const state = (await jobs.get(key))?.body.state;
    if (state === "succeeded") return;
    if (state !== "queued") break;
    await changed;
  }
  throw new StrongroomError(
    "key_provider_unavailable",
    "No worker has made the organization's sealing key yet. Try again in a moment.",
  );
}

/** The making of sealing keys, by workers of the kind that opens what is sealed to them. */
export function keyWork({ store }: Pick<Intake, "store">): WorkType<KeyWork> {
  return {
    async compose({ id, org, attempt, notAfter, work }) {
      return JSON.stringify({ job: id, org, attempt, notAfter, type: work.type, key: work.key });
    },
    async settle(job, outcome, at) {
      const { org, work } = job;
      const of = { org, purpose: job.kind as SealedPurpose };
      const state = await store.get<SealingState>(sealingStateKey(of));
      const { making, ...rest } = state?.body ?? {};
      const isMine = making?.key === work.key;
      const ended = (change: Partial<JobRecord>, to: "succeeded" | "failed") => ({
        ...inState(job, to, at),
        ...change,
        endedAt: at,
      });
      const stateWrite = (body: SealingState) => ({
        ...sealingStateKey(of),
        body,
        expect: state?.revision ?? 0,
      });
      if (outcome.state === "failed") {
        const failure = { class: outcome.failure, detail: outcome.detail };
        return { job: ended({ failure }, "failed"), writes: isMine ? [stateWrite(rest)] : [] };
      }
      if (outcome.state !== "key-made") return undefined;
      if (!(await isPublicKey(new Uint8Array(Buffer.from(outcome.publicKey, "base64url"))))) return undefined;
      const { publicKey, privateKey } = outcome;
      const record: SealingKeyRecord = { id: work.key, publicKey, privateKey, createdAt: at };
      return {
        job: ended({}, "succeeded"),
        writes: isMine
          ? [{ ...sealingKeyKey(of, work.key), body: record, expect: 0 }, stateWrite({ current: work.key })]
          : [],
      };
    },
  };
}
