import { CallSlots } from "./broker/slots.ts";
import type { BrokerUseParts } from "./broker/use.ts";
import { LastUsed } from "./credentials/last-used.ts";
import type { Intake } from "./dependencies.ts";
import { createDueLoop, type DueHandlers, type DueLoop } from "./due/loop.ts";
import { feedDueHandler } from "./feeds/feeds.ts";
import { fetchWork } from "./feeds/work-type.ts";
import { jobDueHandlers } from "./jobs/due.ts";
import { createJobs, type Jobs } from "./jobs/jobs.ts";
import { consumeResults } from "./jobs/results.ts";
import type { WorkTypes } from "./jobs/work-type.ts";
import { checkpointDueHandler, type Signing } from "./receipts/checkpoints.ts";
import { createReceipts, type Receipts } from "./receipts/receipts.ts";
import { unfinishedDueHandler } from "./receipts/unfinished.ts";
import { rewrapWork } from "./rewrap/work-type.ts";
import { rotationDueHandler } from "./rotations/advance.ts";
import { rotateWork } from "./rotations/work-type.ts";
import { scheduleDueHandler } from "./schedules/schedules.ts";
import { keyWork } from "./sealing-keys/sealing-keys.ts";
import { askToken } from "./tokens/ask.ts";
import { obtainToken, type TokenParts } from "./tokens/obtain.ts";
import { InFlight } from "./uses/in-flight.ts";
import type { UseParts } from "./uses/submit.ts";
import { useWork } from "./uses/work-type.ts";
import { retryDueHandler } from "./webhooks/deliveries.ts";
import { rewrapSecretsWork } from "./webhooks/rewrap.ts";
import { webhookRotationDueHandler } from "./webhooks/rotation.ts";
import { deliveryWork } from "./webhooks/work-type.ts";

/** What the intake does beside answering requests, and what its routes need of that. */
export interface Work extends UseParts, BrokerUseParts, Pick<TokenParts, "askToken"> {
  jobs: Jobs;
  due: DueLoop;
  receipts: Receipts;
  signing: Signing;
  /** Takes results, and does what is due, until `stop`. */
  start(): void;
  stop(): Promise<void>;
}

/** Puts the types of work together. */
export function createWork(intake: Intake, dueEveryMs?: number): Work {
  const types: WorkTypes = {
    request: useWork(intake),
    "make-sealing-key": keyWork(intake),
    rewrap: rewrapWork(intake),
    deliver: deliveryWork(intake),
    fetch: fetchWork(intake),
    rotate: rotateWork(intake),
    "rewrap-secrets": rewrapSecretsWork(intake),
  };
  const jobs = createJobs(intake, types);
  const lastUsed = new LastUsed(intake);
  const inFlight = new InFlight(intake);
  const receipts = createReceipts(intake);
  const signing: Signing = { isFailing: false };
  const uses = { intake, jobs, lastUsed, inFlight };
  const tokens: TokenParts = { intake, receipts, askToken: (call) => askToken(intake.broker, call) };
  const handlers: DueHandlers = {
    ...jobDueHandlers(intake, jobs),
    schedule: scheduleDueHandler(uses),
    retry: retryDueHandler(uses),
    feed: feedDueHandler(uses),
    rotation: rotationDueHandler({ ...uses, receipts }),
    "webhook-rotation": webhookRotationDueHandler(intake),
    checkpoint: checkpointDueHandler(intake, signing),
    unfinished: unfinishedDueHandler(intake, receipts),
  };
  const due = createDueLoop(intake, handlers, dueEveryMs);
  let results: { stop(): Promise<void> } | undefined;
  return {
    ...uses,
    ...{ due, receipts, signing, slots: new CallSlots(intake.uses) },
    askToken: tokens.askToken,
    obtainToken: (member, credential) => obtainToken(tokens, member, credential),
    start() {
      results = consumeResults(intake, jobs);
      due.start();
      receipts.start();
    },
    async stop() {
      await Promise.all([due.stop(), results?.stop()]);
      await receipts.stop();
    },
  };
}
