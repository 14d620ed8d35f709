import type { Logger } from "pino";
import type { Static } from "typebox";
import { Type } from "typebox";
import { Value } from "typebox/value";
import { EnvelopeRefused } from "../shared/envelope/envelope-refused.ts";
import { KeyProviderError } from "../shared/envelope/key-provider.ts";
import { OrgId } from "../shared/org.ts";
import type { Consumption, Delivery, Disposition, Queue } from "../shared/queue/queue.ts";
import type { Kind } from "../shared/work/kinds.ts";
import type { FailureClass, Outcome, ResultMessage, Traffic } from "../shared/work/messages.ts";
import { WorkId } from "../shared/work/messages.ts";
import { JobFailure } from "./job-failure.ts";
import type { Step, Work } from "./work.ts";

/**
 * After so many deliveries a message is a dead letter. At the last one the worker only reports a failure, since the
 * message may have ended its worker each time before.
 */
export const MAX_RECEIVES = 8;
/** SQS's own limit. */
const MAX_MESSAGE_BYTES = 1_048_576;
/** Failures of messages that no worker can handle: an operator looks at them. */
const POISON: FailureClass[] = ["malformed", "not_openable", "policy_mismatch"];

/** What is needed to answer a message that is otherwise malformed. */
const Addressee = Type.Object({ job: WorkId, org: OrgId, attempt: Type.Integer({ minimum: 1 }) });
const Job = Type.Object({ ...Addressee.properties, type: Type.String(), notAfter: Type.Integer() });
type Addressee = Static<typeof Addressee>;

export interface WorkerParts {
  kind: Kind;
  work: Work;
  jobs: Queue;
  results: Queue;
  logger: Logger;
  concurrency: number;
  visibilitySeconds: number;
  /** Jobs after which `ended` resolves. */
  maxJobs: number;
  /** Told how far each job has come; a test ends the process there. */
  onStep?: (step: Step) => void;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/**
 * Takes jobs, performs them, sends their results and deletes them, in this order. A job that comes again is performed
 * again, under the same idempotency key; the intake keeps the first result.
 */
export class Worker {
  readonly #parts: WorkerParts;
  readonly #now: () => number;
  readonly #ended = Promise.withResolvers<void>();
  #consumption: Consumption | undefined;
  #handled = 0;

  constructor(parts: WorkerParts) {
    this.#parts = parts;
    this.#now = parts.now ?? Date.now;
  }

  /** Resolves when the worker has handled `maxJobs` jobs: it should be stopped and replaced. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  start(): void {
    const { jobs, concurrency, visibilitySeconds } = this.#parts;
    const perGroup = Math.ceil(concurrency / 2);
    const options = { concurrency, visibilitySeconds, maxReceives: MAX_RECEIVES, perGroup };
    this.#consumption = jobs.consume(options, (delivery) => this.#handle(delivery));
  }

  /** Takes no more jobs and waits for those in hand, for at most `graceMs`; the others come again elsewhere. */
  async stop(graceMs: number): Promise<void> {
    await this.#consumption?.stop(graceMs);
  }

  async #handle(delivery: Delivery): Promise<Disposition> {
    const disposition = await this.#perform(delivery).catch((error) => {
      this.#parts.logger.error({ kind: this.#parts.kind, ...describe(error) }, "result not sent");
      throw error;
    });
    // The last successful match keeps its subject alive, which may have been a credential's text.
    /^/.test("");
    if (++this.#handled === this.#parts.maxJobs) this.#ended.resolve();
    return disposition;
  }

  async #perform({ body, receiveCount, signal }: Delivery): Promise<Disposition> {
    const { work, kind, logger, onStep } = this.#parts;
    const startedAt = this.#now();
    onStep?.("received");
    const message = parse(body);
    if (!Value.Check(Job, message) || !Value.Check(work.schema, message)) {
      const addressee = Value.Check(Addressee, message) ? message : undefined;
      logger.warn({ job: addressee?.job, org: addressee?.org, kind, outcome: "malformed" }, "job refused");
      if (addressee) {
        await this.#answer(addressee, startedAt, failed("malformed", "the job's message is malformed"));
      }
      return { park: "malformed" };
    }
    const job = message as Static<typeof Job>;
    const outcome = await this.#outcome(job, receiveCount, signal);
    const log = { job: job.job, org: job.org, kind, type: job.type };
    if ("retryAfterSeconds" in outcome) {
      logger.warn({ ...log, ...outcome, ms: this.#now() - startedAt }, "job will be tried again");
      return { retryAfterSeconds: outcome.retryAfterSeconds };
    }
    await this.#answer(job, startedAt, outcome);
    onStep?.("answered");
    const failure = outcome.state === "failed" ? outcome.failure : undefined;
    logger.info({ ...log, outcome: failure ?? outcome.state, ms: this.#now() - startedAt }, "job ended");
    if (failure && POISON.includes(failure)) return { park: failure };
    return failure && receiveCount >= MAX_RECEIVES ? { park: "crashed" } : { done: true };
  }

  async #outcome(
    job: Static<typeof Job>,
    receiveCount: number,
    signal: AbortSignal,
  ): Promise<Outcome | { failure: FailureClass; retryAfterSeconds: number }> {
    const { work, onStep } = this.#parts;
    if (job.notAfter * 1000 < this.#now()) return failed("expired", "the job was not started in time");
    if (receiveCount >= MAX_RECEIVES)
      return failed("internal", `no worker has ended the job in ${receiveCount - 1} tries`);
    try {
      return await work.perform(job, { signal, reached: (step) => onStep?.(step) });
    } catch (error) {
      if (signal.aborted) return { failure: "internal", retryAfterSeconds: 0 };
      const { failure, message, isTransient, traffic } = classify(error);
      const retryAfterSeconds = 2 ** (receiveCount - 1);
      const isInTime = job.notAfter * 1000 >= this.#now() + retryAfterSeconds * 1000;
      if (failure === "internal") {
        this.#parts.logger.error({ job: job.job, org: job.org, ...describe(error) }, "unexpected error");
      }
      return isTransient && isInTime && receiveCount < MAX_RECEIVES - 1
        ? { failure, retryAfterSeconds }
        : failed(failure, message, traffic);
    }
  }

  async #answer({ job, org, attempt }: Addressee, startedAt: number, outcome: Outcome): Promise<void> {
    const result: ResultMessage = {
      ...{ job, org, attempt, outcome },
      startedAt: new Date(startedAt).toISOString(),
      endedAt: new Date(this.#now()).toISOString(),
    };
    await this.#parts.results.send({ body: JSON.stringify(result), group: org });
  }
}

/** What is logged of an unexpected error. Its message may hold what it happened on; its name, code and place do not. */
function describe(error: unknown): Record<string, string | undefined> {
  const { name, code, message = "", stack = "", cause } = error as NodeJS.ErrnoException;
  // A stack begins with the message.
  const frames = stack.slice(stack.indexOf(message) + message.length);
  const place = /\n\s+at [^\n]*?(?:file:\/\/)?(\/[^\n)]*)/.exec(frames)?.[1];
  const because = (cause as NodeJS.ErrnoException | undefined)?.code;
  return { error: name, code, cause: because, place };
}

function parse(body: string): unknown {
  if (Buffer.byteLength(body) > MAX_MESSAGE_BYTES) return undefined;
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

const failed = (failure: FailureClass, detail: string, traffic?: Traffic): Outcome => ({
  state: "failed",
  failure,
  detail: detail.slice(0, 1000),
  ...(traffic && { traffic }),
});

function classify(error: unknown): JobFailure {
  if (error instanceof JobFailure) return error;
  if (error instanceof EnvelopeRefused) {
    return new JobFailure("not_openable", "the credential or the request was not sealed for this use");
  }
  if (error instanceof KeyProviderError) {
    return new JobFailure("key_unavailable", "the key provider does not answer with the key now");
  }
  return new JobFailure("internal", "the worker failed");
}
