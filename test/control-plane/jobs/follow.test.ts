import { expect, test } from "vitest";
import { followJob } from "../../../services/control-plane/jobs/follow.ts";
import { newJob, withState, withStep } from "../../../services/control-plane/jobs/job-state.ts";
import { type JobRecord, newJobId } from "../../../services/control-plane/registry/records.ts";
import { newOrgId } from "../../../services/shared/org.ts";

const begun = () => newJob({ id: newJobId(), kind: "create", org: newOrgId() }, ["one", "two"], new Date());

/** A job that the test changes, here or elsewhere. */
function following(job: JobRecord, after = 0, heartbeatMs = 60_000) {
  let stored = job;
  let listener: ((job: JobRecord) => void) | undefined;
  const stop = new AbortController();
  const stream = followJob(job, {
    after,
    heartbeatMs,
    signal: stop.signal,
    read: async () => stored,
    watch: (_, told) => {
      listener = told;
      return () => {
        listener = undefined;
      };
    },
  });
  return {
    stream,
    stop,
    isWatched: () => listener !== undefined,
    changeHere: (next: JobRecord) => {
      stored = next;
      listener?.(next);
    },
    changeElsewhere: (next: JobRecord) => {
      stored = next;
    },
    next: async () => (await stream.next()).value as string | undefined,
  };
}

const idOf = (text: string | undefined) => Number(/^id: (\d+)$/m.exec(text ?? "")?.[1]);

test("each change is an event: a number, its kind, the change", async () => {
  const job = withStep(begun(), "one", "running", new Date(0));
  const { next } = following(job);
  expect(await next()).toMatch(/^id: 1\nevent: job\ndata: \{.*"state":"running".*\}\n\n$/);
  expect(await next()).toBe(
    'id: 2\nevent: step\ndata: {"sequence":2,"at":"1970-01-01T00:00:00.000Z","step":"one","state":"running"}\n\n',
  );
});

test("begins after the last event seen, waits for changes, and ends with the job", async () => {
  let job = withStep(begun(), "one", "running", new Date());
  const { next, changeHere, isWatched } = following(job, 2);
  const waiting = next();
  job = withStep(job, "one", "done", new Date());
  job = withStep(job, "two", "running", new Date());
  setTimeout(() => changeHere(job), 5);
  expect(idOf(await waiting)).toBe(3);
  expect(idOf(await next())).toBe(4);
  job = withState(job, "succeeded", new Date());
  const last = next();
  setTimeout(() => changeHere(job), 5);
  expect(idOf(await last)).toBe(5);
  expect(await next()).toBeUndefined();
  expect(isWatched()).toBe(false);
});

test("a change while an event is being sent is not lost", async () => {
  let job = begun();
  const { next, changeHere } = following(job);
  await next();
  job = withStep(job, "one", "running", new Date());
  changeHere(job);
  expect(idOf(await next())).toBe(2);
});

test("a change just before it is watched is not lost", async () => {
  const job = begun();
  const { next, changeElsewhere } = following(job, 1);
  changeElsewhere(withStep(job, "one", "running", new Date()));
  expect(idOf(await next())).toBe(2);
});

test("in quiet times a comment, and what has changed elsewhere", async () => {
  const job = begun();
  const { next, changeElsewhere } = following(job, 1, 20);
  expect(await next()).toMatch(/^: .*\n\n$/);
  changeElsewhere(withState(job, "failed", new Date()));
  let text = await next();
  if (text?.startsWith(":")) text = await next();
  expect(idOf(text)).toBe(2);
  expect(await next()).toBeUndefined();
});

test("a job that has ended, all of it seen: the stream ends at once", async () => {
  const job = withState(begun(), "succeeded", new Date());
  expect(await following(job, 2).next()).toBeUndefined();
});

test("ends when it is stopped", async () => {
  const { next, stop, isWatched } = following(begun(), 1);
  const waiting = next();
  setTimeout(() => stop.abort(), 5);
  expect(await waiting).toBeUndefined();
  expect(isWatched()).toBe(false);
});
