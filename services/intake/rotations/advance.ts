import type { Recipe } from "../../shared/broker/recipe.ts";
import { providerOf } from "../../shared/broker/recipe.ts";
import { StrongroomError } from "../../shared/errors.ts";
import type { By, Intent, Receipt } from "../../shared/receipts/receipt.ts";
import type { RotationPhase } from "../../shared/work/messages.ts";
import {
  type BrokerRecord,
  credentialKey,
  materialKey,
  type StoredMaterial,
} from "../credentials/records.ts";
import type { Intake } from "../dependencies.ts";
import type { DueHandler } from "../due/loop.ts";
import { newWorkId } from "../ids.ts";
import type { Jobs } from "../jobs/jobs.ts";
import type { RotateWork } from "../jobs/records.ts";
import type { Receipts } from "../receipts/receipts.ts";
import type { Item, Write } from "../store/store.ts";
import { canRevoke, ended, inPhase, isWorkersPhase, proofOf } from "./phases.ts";
import {
  isSurplus,
  type PendingMaterial,
  pendingKey,
  type RotationRecord,
  type RunRecord,
  retiringKey,
  rotationKey,
  rotationWrites,
  runsPartition,
} from "./records.ts";

export interface RotationParts {
  intake: Intake;
  jobs: Jobs;
  receipts: Receipts;
}

/** A phase's job must have started by then. */
const TIMEOUT_SECONDS = 120;
const RUNS_KEPT = 50;
const KEEP_RUNS_SECONDS = 400 * 24 * 3600;

/**
 * Begins a rotation whose time has come, or does the next step of its run: completes the receipt of the last one, and
 * sends the job of the phase that follows, or ends the run. Every step is one conditional write, so several intakes may
 * try, and a step that a crash has cut off is done again. What a job's result changes stands in `transitions.ts`.
 */
export function rotationDueHandler(parts: RotationParts): DueHandler {
  const { store, log } = parts.intake;
  return async (item) => {
    if (item.body.type !== "rotation") return;
    const { org, name, slot } = item.body;
    const found = await store.get<RotationRecord>(rotationKey(org, name));
    if (found?.body.dueAt !== slot) {
      await store.write([{ partition: item.partition, sort: item.sort, remove: true }]);
      return;
    }
    if (found.body.run) return advance(parts, org, found, found.body.run);
    try {
      await begin(parts, org, found, { schedule: name });
    } catch (error) {
      // What will not go away by trying again: the slot is given up, and the rotation says why.
      if (!(error instanceof StrongroomError) || error.status >= 500) throw error;
      log.warn({ org, credential: name, code: error.code }, "a rotation's slot began no run");
      const next = { ...found.body, ...slotAfter(found.body, parts.intake), lastError: error.message };
      await store.write(rotationWrites(org, found, next));
    }
  };
}

/** When a rotation runs by itself after one that begins now. */
function slotAfter(
  { enabled, everySeconds }: RotationRecord,
  { now }: Pick<Intake, "now">,
): Pick<RotationRecord, "nextSlot" | "dueAt"> {
  const nextSlot = Math.floor(now() / 1000) + everySeconds;
  return enabled ? { nextSlot, dueAt: nextSlot } : {};
}

/**
 * Begins a run. Throws `not_found`, `credential_disabled`, and `conflict` if one is under way, or if the policy has no
 * recipe.
 */
export async function begin(
  { intake }: Pick<RotationParts, "intake">,
  org: string,
  found: Item<RotationRecord>,
  by: By,
): Promise<RunRecord> {
  const { store, now } = intake;
  const { name } = found.body;
  if (found.body.run) {
    throw new StrongroomError("conflict", "A rotation of this credential is under way. Wait for its end.");
  }
  const [credential, material, pending] = await Promise.all([
    store.get<BrokerRecord>(credentialKey(org, name)),
    store.get<StoredMaterial>(materialKey(org, name)),
    store.get<PendingMaterial>(pendingKey(org, name)),
  ]);
  const recipe = credential?.body.destination.rotation;
  if (!credential) throw new StrongroomError("not_found", "There is no such credential.");
  if (credential.body.disabled) {
    throw new StrongroomError("credential_disabled", "The credential is disabled. Enable it first.");
  }
  if (!recipe) throw new StrongroomError("conflict", "The credential's policy has no recipe any more.");
  const { version } = credential.body;
  const surplus = canRevoke(recipe) ? found.body.surplus.filter((key) => isSurplus(key, material?.body)) : [];
  const hasPending = proofOf(recipe) === "apply" && pending?.body.version === version + 1;
  const phase = surplus.length > 0 ? "revoke" : hasPending ? "apply" : "make";
  const at = new Date(now()).toISOString();
  const run: RunRecord = {
    ...{ id: newWorkId(now()), credential: name, state: "running", phase, by, fromVersion: version },
    ...{ tries: 0, steps: [{ phase, at }], startedAt: at },
  };
  const { lastError: _, nextSlot: __, ...record } = found.body;
  const { nextSlot } = slotAfter(record, intake);
  const next: RotationRecord = {
    ...{ ...record, run, surplus, dueAt: Math.floor(now() / 1000) },
    ...(nextSlot !== undefined && { nextSlot }),
  };
  if (await store.write(rotationWrites(org, found, next))) return run;
  throw new StrongroomError("conflict", "The rotation is being changed at the same time. Try again.");
}

async function advance(
  parts: RotationParts,
  org: string,
  found: Item<RotationRecord>,
  run: RunRecord,
): Promise<void> {
  // A second completion of the same receipt is none.
  if (run.receipt && run.completion) await parts.receipts.complete(org, run.receipt, run.completion);
  const { receipt: _, completion: __, ...rest } = run;
  const { store, now } = parts.intake;
  const at = new Date(now()).toISOString();
  if (rest.waitUntil !== undefined && rest.waitUntil * 1000 > now()) {
    await store.write(rotationWrites(org, found, { ...found.body, run: rest, dueAt: rest.waitUntil }));
    return;
  }
  const next = rest.phase === "grace" ? inPhase(rest, "revoke", at) : rest;
  if (isWorkersPhase(next.phase)) return sendPhase(parts, org, found, next, next.phase);
  await store.write(await endWrites(parts.intake, org, found, next, at));
}

/** Sends the job of a phase, once the receipt for what it does is durable. */
async function sendPhase(
  { intake, jobs, receipts }: RotationParts,
  org: string,
  found: Item<RotationRecord>,
  run: RunRecord,
  phase: RotationPhase,
): Promise<void> {
  const { store, now } = intake;
  const { name } = found.body;
  const [credential, material] = await Promise.all([
    store.get<BrokerRecord>(credentialKey(org, name)),
    store.get<StoredMaterial>(materialKey(org, name)),
  ]);
  const at = new Date(now()).toISOString();
  const recipe = credential?.body.destination.rotation;
  const surplus = found.body.surplus.find((key) => isSurplus(key, material?.body));
  const lost = giveUp(found.body, run, phase, { recipe, surplus, isMaterial: material !== undefined }, at);
  if (lost) {
    await store.write(rotationWrites(org, found, lost));
    return;
  }
  if (!credential || !recipe) throw new Error("given up before");
  const id = newWorkId(now());
  const { making = { since: Math.floor(now() / 1000) } } = found.body;
  const once = making.once ?? run.id;
  const work: RotateWork = {
    ...{ type: "rotate", credential: name, version: run.fromVersion, phase },
    ...(phase === "revoke" && surplus && { surplus }),
    ...(phase === "make" && { making: { since: making.since, once } }),
  };
  const job = jobs.create({ id, org, kind: "broker", work, timeoutSeconds: TIMEOUT_SECONDS });
  const receipt = asksProvider(recipe, phase)
    ? await receipts.begin(org, intentOf(run, phase, credential.body, recipe))
    : undefined;
  const { dueAt: _, ...record } = found.body;
  const next: RotationRecord = {
    ...record,
    run: { ...run, job: id, ...(receipt && { receipt }) },
    ...(phase === "make" && { making: { since: making.since, once } }),
  };
  const isWritten = await store.write([...rotationWrites(org, found, next), ...jobs.writes(job, 0)]);
  if (isWritten) await jobs.send(job);
  else if (receipt) await completeUnsent(receipts, org, receipt);
}

/** The rotation if a run cannot go on: its credential, its recipe or the key to revoke is gone. */
function giveUp(
  record: RotationRecord,
  run: RunRecord,
  phase: RotationPhase,
  has: { recipe: Recipe | undefined; surplus: object | undefined; isMaterial: boolean },
  at: string,
): RotationRecord | undefined {
  const isRevocable =
    phase !== "revoke" || (has.surplus !== undefined && has.recipe && canRevoke(has.recipe));
  if (has.recipe && has.isMaterial && isRevocable) return undefined;
  const failure = run.failure ?? {
    class: "not_openable" as const,
    detail:
      phase === "revoke"
        ? "The old key was not revoked, because another value was put since: revoke it at the provider."
        : "The credential or its recipe is gone.",
  };
  const kept = run.toVersion === undefined ? {} : { oldKey: "kept" as const };
  // Keys that an older value has replaced are nobody's business any more: that value may be one of them.
  return { ...record, run: { ...ended(run, at, failure), ...kept }, surplus: [], dueAt: record.dueAt ?? 0 };
}

/** A password for PostgreSQL is made by the worker alone. */
const asksProvider = ({ type }: Recipe, phase: RotationPhase): boolean =>
  !(type === "postgresql" && phase === "make");

function intentOf(run: RunRecord, phase: RotationPhase, record: BrokerRecord, recipe: Recipe): Intent {
  const request = recipe.type === "rest" ? requestOf(recipe, phase) : undefined;
  return {
    ...{ id: run.id, action: phase === "revoke" ? "revoke" : "rotate", by: run.by },
    ...{ credential: record.name, version: record.version },
    host: providerOf(recipe, record.destination).replace(/^[a-z]+:\/\//, ""),
    ...(request && { method: request.method, pathPattern: request.path }),
  };
}

function requestOf({ create, check, revoke }: Extract<Recipe, { type: "rest" }>, phase: RotationPhase) {
  if (phase === "make") return create;
  return phase === "revoke" ? revoke : check;
}

const completeUnsent = (receipts: Receipts, org: string, receipt: Receipt): Promise<void> =>
  receipts.complete(org, receipt, {
    ...{ outcome: "not_sent", sentBytes: 0, receivedBytes: 0, ms: 0, scrubbed: 0 },
  });

/** The writes that end a run: it joins those that have ended, of which the last 50 are kept. */
async function endWrites(
  { store, now }: Pick<Intake, "store" | "now">,
  org: string,
  found: Item<RotationRecord>,
  run: RunRecord,
  at: string,
): Promise<Write[]> {
  const { name } = found.body;
  const partition = runsPartition(org, name);
  const runs = await store.query<RunRecord>(partition, { descending: true, limit: RUNS_KEPT });
  const oldest = runs.length < RUNS_KEPT ? undefined : runs.at(-1);
  const { run: _, dueAt: __, ...record } = found.body;
  const { nextSlot } = record;
  const next: RotationRecord = { ...record, ...(nextSlot !== undefined && { dueAt: nextSlot }) };
  const expiresAt = Math.floor(now() / 1000) + KEEP_RUNS_SECONDS;
  return [
    ...rotationWrites(org, found, next),
    { partition, sort: run.id, body: { ...run, endedAt: at }, expiresAt },
    { ...retiringKey(org, name), remove: true },
    ...(oldest && oldest.sort !== run.id ? [{ partition, sort: oldest.sort, remove: true as const }] : []),
  ];
}
