import { pino } from "pino";
import type { Static } from "typebox";
import { describe, expect, test } from "vitest";
import { EnvelopeRefused } from "../../services/shared/envelope/envelope.ts";
import { KeyProviderError } from "../../services/shared/envelope/key-provider.ts";
import { newOrgId } from "../../services/shared/org.ts";
import {
  type ConsumeOptions,
  type Delivery,
  type Disposition,
  type Handler,
  type Outgoing,
  type Queue,
  QueueUnavailableError,
} from "../../services/shared/queue/queue.ts";
import { FeedMessage, type Outcome, type ResultMessage } from "../../services/shared/work/messages.ts";
import { JobFailure } from "../../services/worker/job-failure.ts";
import type { Run } from "../../services/worker/work.ts";
import { MAX_RECEIVES, Worker } from "../../services/worker/worker.ts";
import { newJobId } from "../harness/credential-jobs.ts";

const SECRET = "sk_live_tiger42";
const ANSWERED: Outcome = { state: "fetched", notModified: true, items: [] };

/** A worker whose queues are in the test's hand: it delivers what it likes, as often as it likes. */
function startWorker(
  perform: (message: FeedMessage, run: Run) => Promise<Outcome>,
  changes: { maxJobs?: number; now?: () => number } = {},
) {
  const results: ResultMessage[] = [];
  let deliver: Handler | undefined;
  let options: ConsumeOptions | undefined;
  let log = "";
  let isDown = false;
  const results_: Queue = {
    async send({ body }: Outgoing) {
      if (isDown) throw new QueueUnavailableError("down");
      results.push(JSON.parse(body) as ResultMessage);
    },
    consume: () => {
      throw new Error("a worker takes no results");
    },
    close: async () => {},
  };
  const jobs: Queue = {
    send: async () => {
      throw new Error("a worker sends no jobs");
    },
    consume(given, handler) {
      options = given;
      deliver = handler;
      return { stop: async () => {} };
    },
    close: async () => {},
  };
  const logger = pino(
    {},
    {
      write: (line: string) => {
        log += line;
      },
    },
  );
  const worker = new Worker({
    ...{ kind: "feed", jobs, results: results_, logger, concurrency: 16, visibilitySeconds: 60 },
    ...{ work: { schema: FeedMessage, perform: (message, run) => perform(message as FeedMessage, run) } },
    ...{ maxJobs: 1_000, ...changes },
  });
  worker.start();
  return {
    ...{ worker, results },
    options: () => options,
    log: () => log,
    setDown: (down: boolean) => {
      isDown = down;
    },
    deliver: (body: unknown, changes: Partial<Delivery> = {}): Promise<Disposition> =>
      (deliver as Handler)({
        body: typeof body === "string" ? body : JSON.stringify(body),
        receiveCount: 1,
        signal: new AbortController().signal,
        ...changes,
      }),
  };
}

const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds;
const job = (changes: Partial<Static<typeof FeedMessage>> = {}): FeedMessage => ({
  ...{ job: newJobId(), org: newOrgId(), attempt: 1, notAfter: inSeconds(300), type: "fetch" },
  url: "https://feeds.example/a.xml",
  ...changes,
});

describe("a job that succeeds", () => {
  test("its result is sent before it is deleted, and names whom it is for", async () => {
    const { deliver, results, log } = startWorker(async () => ANSWERED);
    const message = job({ attempt: 3 });
    expect(await deliver(message)).toEqual({ done: true });
    expect(results).toMatchObject([{ job: message.job, org: message.org, attempt: 3, outcome: ANSWERED }]);
    expect(log()).not.toContain("feeds.example");
  });

  test("comes again: it is performed again, and the result is sent again", async () => {
    const { deliver, results } = startWorker(async () => ANSWERED);
    const message = job();
    await deliver(message);
    expect(await deliver(message, { receiveCount: 2 })).toEqual({ done: true });
    expect(results.map(({ job }) => job)).toEqual([message.job, message.job]);
  });

  test("while the results queue is down stays in its queue", async () => {
    const { deliver, results, setDown } = startWorker(async () => ANSWERED);
    setDown(true);
    await expect(deliver(job())).rejects.toThrow(QueueUnavailableError);
    setDown(false);
    expect(await deliver(job(), { receiveCount: 2 })).toEqual({ done: true });
    expect(results).toHaveLength(1);
  });
});

describe("a message that is malformed is parked, and not performed", () => {
  const refused = async (body: unknown, answered: boolean) => {
    const { deliver, results } = startWorker(async () => {
      throw new Error("it was performed");
    });
    expect(await deliver(body)).toEqual({ park: "malformed" });
    expect(results.map(({ outcome }) => outcome)).toMatchObject(
      answered ? [{ state: "failed", failure: "malformed" }] : [],
    );
  };

  test.each([
    ["no JSON", "{", false],
    ["no object", "[]", false],
    ["truncated", JSON.stringify(job()).slice(0, -5), false],
    ["another kind's", { ...job(), type: "request" }, true],
    ["without a limit of time", { ...job(), notAfter: undefined }, true],
    ["with a member that nobody knows", { ...job(), purpose: "integration" }, true],
    ["with a purpose of its own", { ...job(), kind: "webhook" }, true],
    ["with another's form of id", { ...job(), org: "acme" }, false],
    ["with a prototype", `{"__proto__":{"job":"x"},${JSON.stringify(job()).slice(1)}`, true],
  ])("%s", async (_, body, answered) => {
    await refused(body, answered);
  });

  test("too large", async () => {
    await refused({ ...job(), url: "x".repeat(1_048_576) }, false);
  });
});

describe("a job that fails", () => {
  const failing = (error: unknown, changes = {}) =>
    startWorker(async () => {
      throw error;
    }, changes);

  test("for a reason that passes is tried again, later each time, and then reported", async () => {
    const { deliver, results } = failing(new JobFailure("unreachable", "it was down"));
    const message = job();
    const waits: unknown[] = [];
    for (let receiveCount = 1; receiveCount < MAX_RECEIVES - 1; receiveCount++) {
      waits.push(await deliver(message, { receiveCount }));
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32].map((retryAfterSeconds) => ({ retryAfterSeconds })));
    expect(results).toEqual([]);
    expect(await deliver(message, { receiveCount: MAX_RECEIVES - 1 })).toEqual({ done: true });
    expect(results).toMatchObject([
      { outcome: { state: "failed", failure: "unreachable", detail: "it was down" } },
    ]);
  });

  test("for a reason that passes, but after its time, is reported at once", async () => {
    const { deliver, results } = failing(new JobFailure("timeout", "it was slow"));
    expect(await deliver(job({ notAfter: inSeconds(3) }), { receiveCount: 4 })).toEqual({ done: true });
    expect(results).toMatchObject([{ outcome: { failure: "timeout" } }]);
  });

  test("for a reason that its sender retries is reported at once", async () => {
    const { deliver, results } = failing(new JobFailure("unreachable", "later", { isFinal: true }));
    expect(await deliver(job())).toEqual({ done: true });
    expect(results).toMatchObject([{ outcome: { failure: "unreachable" } }]);
  });

  test.each([
    "request_not_allowed",
    "destination_refused",
    "answer_too_large",
    "answer_unusable",
  ] as const)("by %s is reported at once", async (failure) => {
    const { deliver, results } = failing(new JobFailure(failure, "no"));
    expect(await deliver(job())).toEqual({ done: true });
    expect(results).toMatchObject([{ outcome: { failure } }]);
  });

  test.each([
    [new JobFailure("policy_mismatch", "no"), "policy_mismatch"],
    [new JobFailure("malformed", "no"), "malformed"],
    [new EnvelopeRefused("another context"), "not_openable"],
  ])("by poison is reported and parked: %s", async (error, failure) => {
    const { deliver, results } = failing(error);
    expect(await deliver(job())).toEqual({ park: failure });
    expect(results).toMatchObject([{ outcome: { state: "failed", failure } }]);
  });

  test.each([
    "forbidden",
    "unavailable",
  ] as const)("since the key provider is %s is tried again", async (reason) => {
    const { deliver } = failing(new KeyProviderError(reason, "down"));
    expect(await deliver(job())).toEqual({ retryAfterSeconds: 1 });
  });

  test("for an unknown reason tells nobody what it was about", async () => {
    const { deliver, results, log } = failing(new TypeError(`cannot read\n    at ${SECRET} (/${SECRET})`));
    expect(await deliver(job(), { receiveCount: MAX_RECEIVES - 1 })).toEqual({ done: true });
    expect(results).toMatchObject([{ outcome: { failure: "internal" } }]);
    expect(log()).toContain("TypeError");
    expect(log() + JSON.stringify(results)).not.toContain(SECRET);
  });

  test("after its time does not start", async () => {
    const { deliver, results } = startWorker(async () => {
      throw new Error("it was performed");
    });
    expect(await deliver(job({ notAfter: inSeconds(-1) }))).toEqual({ done: true });
    expect(results).toMatchObject([{ outcome: { failure: "expired" } }]);
  });

  test("by ending each worker is reported and parked in its last delivery", async () => {
    const { deliver, results } = startWorker(async () => {
      throw new Error("it was performed");
    });
    expect(await deliver(job(), { receiveCount: MAX_RECEIVES })).toEqual({ park: "crashed" });
    expect(results).toMatchObject([{ outcome: { failure: "internal" } }]);
  });

  test("since the worker stops sends no result", async () => {
    const { deliver, results } = startWorker(async (_, { signal }) => {
      signal.throwIfAborted();
      return ANSWERED;
    });
    expect(await deliver(job(), { signal: AbortSignal.abort() })).toEqual({ retryAfterSeconds: 0 });
    expect(results).toEqual([]);
  });
});

test("one organization has half of the places", () => {
  const { options } = startWorker(async () => ANSWERED);
  expect(options()).toEqual({
    concurrency: 16,
    perGroup: 8,
    visibilitySeconds: 60,
    maxReceives: MAX_RECEIVES,
  });
});

test("it ends after so many jobs", async () => {
  const { deliver, worker } = startWorker(async () => ANSWERED, { maxJobs: 2 });
  let hasEnded = false;
  void worker.ended.then(() => {
    hasEnded = true;
  });
  await deliver(job());
  expect(hasEnded).toBe(false);
  await deliver(job());
  await worker.ended;
});
