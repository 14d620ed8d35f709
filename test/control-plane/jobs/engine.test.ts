import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { describe, expect, test } from "vitest";
import { createEngine } from "../../../services/control-plane/jobs/engine.ts";
import { isEnded, newJob } from "../../../services/control-plane/jobs/job-state.ts";
import { createOrgLocks } from "../../../services/control-plane/jobs/org-locks.ts";
import type { Failpoint, Step, Workflow } from "../../../services/control-plane/jobs/workflow.ts";
import { type JobRecord, newJobId } from "../../../services/control-plane/registry/records.ts";
import { StrongroomError } from "../../../services/shared/errors.ts";
import { newOrgId } from "../../../services/shared/org.ts";
import { VaultError, VaultUnreachableError } from "../../../services/shared/vault/client.ts";
import { memoryRegistry, memoryStore, readJob } from "../fixtures.ts";

const NAMES = ["one", "two", "three"];

/** A world that three steps each leave a thing in, and a log of what was done to it. */
function world() {
  const things = new Set<string>();
  const log: string[] = [];
  /** What the service's log holds. */
  const lines: Record<string, unknown>[] = [];
  const logger = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const store = memoryStore();
  const registry = memoryRegistry(store);
  const steps: Step[] = NAMES.map((name) => ({
    name,
    async do() {
      log.push(`do ${name}`);
      things.add(name);
    },
    async undo() {
      log.push(`undo ${name}`);
      things.delete(name);
    },
  }));
  const workflow: Workflow = {
    kind: "create",
    permission: "orgs:create",
    steps,
    async succeed() {
      log.push("succeed");
    },
    async fail() {
      log.push("fail");
    },
  };

  const engine = (failpoint: Failpoint = async () => {}) =>
    createEngine({
      registry,
      workflows: { create: workflow, delete: workflow },
      locks: createOrgLocks(),
      log: logger,
      now: () => new Date(),
      failpoint,
      waits: [1, 1],
    });
  const addJob = async (org = newOrgId()) => {
    const job = newJob({ id: newJobId(), kind: "create", org }, NAMES, new Date());
    await registry.jobs.create(job.id, job);
    return job.id;
  };
  const ended = async (id: string): Promise<JobRecord> => {
    for (let tries = 0; tries < 2_000; tries++) {
      const job = await readJob(registry, id);
      if (isEnded(job)) return job;
      await sleep(1);
    }
    throw new Error("the job did not end");
  };
  return { things, log, lines, store, registry, workflow, steps, engine, addJob, ended };
}

const states = (job: JobRecord) => job.steps.map(({ state }) => state);

test("runs the steps in order, each with its times, and numbers every change", async () => {
  const { engine, addJob, ended, log } = world();
  const id = await addJob();
  engine().start(id);
  const job = await ended(id);
  expect(log).toEqual(["do one", "do two", "do three", "succeed"]);
  expect(job.state).toBe("succeeded");
  expect(job.endedAt).toBeDefined();
  for (const step of job.steps) {
    expect(Date.parse(step.endedAt ?? "")).toBeGreaterThanOrEqual(Date.parse(step.startedAt ?? ""));
  }
  expect(job.events.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(job.events.map(({ step = "job", state }) => `${step} ${state}`)).toEqual([
    "job running",
    "one running",
    "one done",
    "two running",
    "two done",
    "three running",
    "three done",
    "job succeeded",
  ]);
});

test("records that a step runs before it acts", async () => {
  const { engine, addJob, ended, steps, registry } = world();
  const id = await addJob();
  const seen: (string | undefined)[] = [];
  for (const step of steps) {
    step.do = async (job) => {
      const stored = await readJob(registry, job.id);
      seen.push(stored.steps.find(({ name }) => name === step.name)?.state);
    };
  }
  engine().start(id);
  await ended(id);
  expect(seen).toEqual(["running", "running", "running"]);
});

describe.each(NAMES)("when step %s fails", (name) => {
  const index = NAMES.indexOf(name);

  test.each([
    "before",
    "after",
  ])("at its failpoint %s: it and all before it are undone in reverse", async (where) => {
    const { engine, addJob, ended, log, lines, things } = world();
    const id = await addJob();
    engine(async (failpoint) => {
      if (failpoint === `${name}:${where}`) throw new StrongroomError("step_timeout", "It took too long.");
    }).start(id);
    const job = await ended(id);
    expect(lines).toMatchObject([
      {
        ...{ level: 40, msg: "job step failed", job: id, org: job.org, step: name },
        err: { code: "step_timeout" },
      },
    ]);
    expect(job).toMatchObject({
      state: "failed",
      error: { code: "step_timeout", step: name, detail: "It took too long.", retry: true },
    });
    expect([...things]).toEqual([]);
    const undone = NAMES.slice(0, index + 1).toReversed();
    expect(log.filter((each) => each.startsWith("undo"))).toEqual(undone.map((each) => `undo ${each}`));
    expect(log.at(-1)).toBe("fail");
    expect(states(job)).toEqual(NAMES.map((_, i) => (i <= index ? "undone" : "pending")));
  });

  test("undoing it fails for now: the job is left, and ends when it is started again", async () => {
    const { engine, addJob, ended, lines, registry, things } = world();
    const id = await addJob();
    let broken = true;
    const running = engine(async (failpoint) => {
      if (failpoint === "three:after") throw new Error("no");
      if (failpoint === `${name}:undo` && broken) throw new Error("not now");
    });
    running.start(id);
    while ((await readJob(registry, id)).state !== "undoing" || !running.isHeld(id)) await sleep(1);
    await sleep(20);
    expect((await readJob(registry, id)).state).toBe("undoing");
    expect(things.has(name)).toBe(true);
    broken = false;
    running.retry();
    expect(running.isHeld(id)).toBe(true);
    expect((await ended(id)).state).toBe("failed");
    expect([...things]).toEqual([]);
    expect(lines.at(-1)).toMatchObject({
      ...{ level: 50, msg: "job interrupted", job: id, err: { message: "not now" } },
    });
    await expect.poll(() => running.isHeld(id), { timeout: 5_000 }).toBe(false);
  });
});

test("what has nothing to undo, and a workflow with no guard or end of its own, are passed over", async () => {
  const { engine, addJob, ended, log, steps, workflow } = world();
  for (const step of steps.slice(1, 2)) delete step.undo;
  delete workflow.fail;
  const id = await addJob();
  engine(async (failpoint) => {
    if (failpoint === "three:before") throw new StrongroomError("step_timeout", "It took too long.");
  }).start(id);
  expect(states(await ended(id))).toEqual(["undone", "done", "undone"]);
  expect(log).toEqual(["do one", "do two", "undo three", "undo one"]);
});

describe("after a crash", () => {
  const failpoints = NAMES.flatMap((name) => [`${name}:before`, `${name}:after`]);

  test.each(failpoints)("at %s, another engine takes the job to its end", async (at) => {
    const { engine, addJob, ended, things } = world();
    const id = await addJob();
    let crashed = false;
    engine((failpoint) => {
      crashed ||= failpoint === at;
      return crashed ? new Promise<never>(() => {}) : Promise.resolve();
    }).start(id);
    while (!crashed) await sleep(1);
    await engine().resume();
    const job = await ended(id);
    expect(job.state).toBe("succeeded");
    const told = job.events.map(({ step, state }) => `${step} ${state}`);
    expect(new Set(told).size).toBe(told.length);
    expect([...things].sort()).toEqual([...NAMES].sort());
  });

  test.each(NAMES)("while %s is undone, another engine goes on undoing", async (name) => {
    const { engine, addJob, ended, log, things } = world();
    const id = await addJob();
    let crashed = false;
    engine((failpoint) => {
      if (failpoint === "three:after") throw new Error("no");
      crashed ||= failpoint === `${name}:undo`;
      return crashed ? new Promise<never>(() => {}) : Promise.resolve();
    }).start(id);
    while (!crashed) await sleep(1);
    await engine().resume();
    const job = await ended(id);
    expect(job.state).toBe("failed");
    expect(states(job)).toEqual(["undone", "undone", "undone"]);
    expect(log.filter((each) => each.startsWith("undo"))).toEqual(["undo three", "undo two", "undo one"]);
    expect([...things]).toEqual([]);
  });

  test("once all steps are done, only the end is made up for", async () => {
    const { engine, addJob, ended, workflow, log } = world();
    const id = await addJob();
    const { succeed } = workflow;
    let reached = false;
    workflow.succeed = () => {
      reached = true;
      return new Promise(() => {});
    };
    engine().start(id);
    while (!reached) await sleep(1);
    workflow.succeed = succeed;
    log.length = 0;
    await engine().resume();
    await ended(id);
    expect(log).toEqual(["succeed"]);
  });

  test("jobs that have ended are left alone", async () => {
    const { engine, addJob, ended, log } = world();
    const id = await addJob();
    engine().start(id);
    await ended(id);
    log.length = 0;
    await engine().resume();
    await sleep(20);
    expect(log).toEqual([]);
  });
});

describe("what may pass is tried again", () => {
  test.each([
    ["no answer", new VaultUnreachableError("read x", "ECONNREFUSED")],
    ["a server error", new VaultError("read x", 500, [])],
    ["a standby that is behind", new VaultError("read x", 412, [])],
    ["too many requests", new VaultError("read x", 429, [])],
  ])("%s", async (_, error) => {
    const { engine, addJob, ended, steps } = world();
    const id = await addJob();
    let tries = 0;
    for (const step of steps.slice(1, 2)) {
      step.do = async () => {
        if (++tries < 3) throw error;
      };
    }
    engine().start(id);
    expect((await ended(id)).state).toBe("succeeded");
    expect(tries).toBe(3);
  });

  test("not for ever, and not a refusal", async () => {
    const { engine, addJob, ended, steps } = world();
    let tries = 0;
    let error: Error = new VaultUnreachableError("read x", "ECONNREFUSED");
    for (const step of steps.slice(1, 2)) {
      step.do = async () => {
        tries++;
        throw error;
      };
    }
    const first = await addJob();
    engine().start(first);
    expect((await ended(first)).error).toMatchObject({
      code: "step_failed",
      detail: "read x: no answer from Vault (ECONNREFUSED)",
    });
    expect(tries).toBe(3);
    for (const status of [403, 411, 413, 428, 430, 499]) {
      tries = 0;
      error = new VaultError("write y", status, ["no"]);
      const next = await addJob();
      engine().start(next);
      expect((await ended(next)).error).toMatchObject({
        ...{ code: "step_failed", step: "two", retry: true, detail: `write y: Vault answered ${status}: no` },
      });
      expect(tries).toBe(1);
    }
  });

  test("a record that was written although the answer was lost", async () => {
    const { engine, addJob, ended, registry, store } = world();
    const id = await addJob();
    const { write } = store;
    let lost = false;
    store.write = async (path, data, cas) => {
      const version = await write(path, data, cas);
      if (!lost && path.startsWith("jobs/")) {
        lost = true;
        throw new VaultUnreachableError("write", "UND_ERR_SOCKET");
      }
      return version;
    };
    engine().start(id);
    const job = await ended(id);
    expect(job.state).toBe("succeeded");
    expect(job.events).toHaveLength(8);
    expect(lost).toBe(true);
    expect(await registry.jobs.keys()).toEqual([id]);
  });
});

test("an unexpected error's text does not reach the job", async () => {
  const { engine, addJob, ended, steps } = world();
  for (const step of steps.slice(0, 1)) {
    step.do = async () => {
      throw new Error("hvs.secret");
    };
  }
  const id = await addJob();
  engine().start(id);
  const job = await ended(id);
  expect(job.error).toEqual({
    ...{ code: "step_failed", step: "one", retry: true },
    detail: "Unexpected error; search the log for the job's id.",
  });
  expect(JSON.stringify(job)).not.toContain("hvs.secret");
});

test("the registry not to be written: the job is left where it is, and goes on later", async () => {
  const { engine, addJob, ended, store, registry } = world();
  const id = await addJob();
  const running = engine();
  for (let i = 0; i < 3; i++) store.failNext(new VaultUnreachableError("write", "ECONNREFUSED"));
  running.start(id);
  await sleep(50);
  expect(states(await readJob(registry, id))).toEqual(["pending", "pending", "pending"]);
  running.retry();
  expect((await ended(id)).state).toBe("succeeded");
});

test("a job that someone else runs meanwhile is left to them", async () => {
  const { engine, addJob, ended, registry, log } = world();
  const id = await addJob();
  let stolen = false;
  engine(async (failpoint) => {
    if (failpoint !== "two:before") return;
    const found = await registry.jobs.read(id);
    if (!found) throw new Error("gone");
    await registry.jobs.replace(id, { ...found.value, state: "failed", endedAt: "now" }, found.version);
    stolen = true;
  }).start(id);
  expect((await ended(id)).state).toBe("failed");
  await sleep(20);
  expect(stolen).toBe(true);
  expect(log.filter((each) => each.startsWith("undo") || each === "succeed" || each === "do three")).toEqual(
    [],
  );
});

describe("a guard that cannot tell for now", () => {
  const passing = () => new VaultUnreachableError("read", "ECONNREFUSED");

  /** A guard that fails for so many calls from the moment that `when` holds. */
  function failing({ workflow }: ReturnType<typeof world>, calls: number, when: (job: JobRecord) => boolean) {
    let left = calls;
    workflow.guard = async (job) => {
      if (left > 0 && when(job) && left--) throw passing();
    };
    return () => left;
  }

  test.each<[string, (job: JobRecord) => boolean]>([
    ["on the way forward", (job) => job.steps[0]?.state === "done"],
    ["on the way back", (job) => job.state === "undoing"],
  ])("%s is asked again, three times in all", async (_, when) => {
    const scene = world();
    const left = failing(scene, 2, when);
    const id = await scene.addJob();
    const running = scene.engine(async (failpoint) => {
      if (failpoint === "three:after") throw new StrongroomError("step_timeout", "It took too long.");
    });
    running.start(id);
    const job = await scene.ended(id);
    expect(left()).toBe(0);
    expect(job).toMatchObject({ state: "failed", error: { code: "step_timeout" } });
    expect([...scene.things]).toEqual([]); // undone, whatever the guard said in between
  });

  test.each<[string, (job: JobRecord) => boolean, JobRecord["state"]]>([
    ["on the way forward", (job) => job.steps[0]?.state === "done", "running"],
    ["on the way back", (job) => job.state === "undoing", "undoing"],
  ])("%s leaves the job where it is, to be taken up again, and ends it by no means", async (_, when, state) => {
    const scene = world();
    const left = failing(scene, 3, when);
    const id = await scene.addJob();
    const running = scene.engine(async (failpoint) => {
      if (state === "undoing" && failpoint === "three:after")
        throw new StrongroomError("step_timeout", "Late.");
    });
    running.start(id);
    await expect.poll(left).toBe(0);
    await sleep(20);
    const job = await readJob(scene.registry, id);
    expect(job).toMatchObject({ state });
    expect(job.endedAt).toBeUndefined();
    expect(running.isHeld(id)).toBe(true);
    running.retry();
    const ended = await scene.ended(id);
    expect(ended.state).toBe(state === "running" ? "succeeded" : "failed");
    expect([...scene.things]).toEqual(state === "running" ? NAMES : []);
  });
});

describe("quarantine", () => {
  const quarantined = () => Promise.reject(new StrongroomError("quarantined", "Look at it."));

  test.each(NAMES)("found by the guard before %s: nothing is undone", async (name) => {
    const { engine, addJob, ended, workflow, log } = world();
    workflow.guard = async (job) => {
      if (job.steps.find((step) => step.name === name)?.state !== "pending") return;
      if (states(job).filter((state) => state === "done").length === NAMES.indexOf(name)) await quarantined();
    };
    const id = await addJob();
    engine().start(id);
    const job = await ended(id);
    expect(job).toMatchObject({ state: "failed", error: { code: "quarantined", step: name, retry: false } });
    expect(log.filter((each) => each.startsWith("undo"))).toEqual([]);
    expect(log).not.toContain("fail");
  });

  test("found while undoing: undoing ends there", async () => {
    const { engine, addJob, ended, workflow, log } = world();
    workflow.guard = async (job) => {
      if (job.state === "undoing" && job.steps[1]?.state === "undone") await quarantined();
    };
    const id = await addJob();
    engine(async (failpoint) => {
      if (failpoint === "three:after") throw new Error("no");
    }).start(id);
    expect(await ended(id)).toMatchObject({ state: "failed", error: { code: "quarantined", step: "one" } });
    expect(log).not.toContain("undo one");
  });
});

test("jobs of one organization run one after the other", async () => {
  const { engine, addJob, ended, log, steps } = world();
  const org = newOrgId();
  for (const step of steps) {
    step.do = async (job) => {
      log.push(job.id);
      await sleep(1);
    };
  }
  const [first, second] = [await addJob(org), await addJob(org)];
  const running = engine();
  running.start(first);
  running.start(second);
  await Promise.all([ended(first), ended(second)]);
  const order = log.filter((each) => each !== "succeed");
  expect(order).toEqual([order[0], order[0], order[0], order[3], order[3], order[3]]);
});

test("ten jobs run at a time, each once, and all get their turn", async () => {
  const { engine, addJob, ended, log, steps } = world();
  const go = Promise.withResolvers<void>();
  let running = 0;
  let most = 0;
  for (const step of steps) {
    step.do = async (job) => {
      log.push(`${step.name} ${job.id}`);
      most = Math.max(most, ++running);
      await go.promise;
      running--;
    };
  }
  const ids = await Promise.all(Array.from({ length: 25 }, () => addJob()));
  const started = engine();
  for (const id of [...ids, ...ids]) started.start(id);
  await expect.poll(() => running, { timeout: 5_000 }).toBe(10);
  await sleep(20);
  expect(most).toBe(10);
  expect(ids.filter((id) => started.isHeld(id))).toEqual(ids);
  go.resolve();
  for (const id of ids) expect((await ended(id)).state).toBe("succeeded");
  expect(most).toBe(10);
  expect(log.filter((each) => each.startsWith("one ")).sort()).toEqual(ids.map((id) => `one ${id}`).sort());
  await expect.poll(() => ids.filter((id) => started.isHeld(id)), { timeout: 5_000 }).toEqual([]);
});

test("a job that is not in the registry is none, and is not held", async () => {
  const { engine, lines, log } = world();
  const running = engine();
  const id = newJobId();
  running.start(id);
  await expect.poll(() => running.isHeld(id), { timeout: 5_000 }).toBe(false);
  expect([lines, log]).toEqual([[], []]);
});

test("stopping: the step under way is finished, no other is begun", async () => {
  const { engine, addJob, lines, registry, steps, log } = world();
  const id = await addJob();
  let finish = () => {};
  const begun = new Promise<void>((resolve) => {
    for (const step of steps.slice(0, 1)) {
      step.do = () => {
        resolve();
        return new Promise((done) => {
          finish = done;
        });
      };
    }
  });
  const running = engine();
  running.start(id);
  await begun;
  let isStopped = false;
  const stopped = running.stop(5_000).then(() => {
    isStopped = true;
  });
  await sleep(20);
  expect(isStopped).toBe(false); // it waits for the step
  finish();
  await stopped;
  const late = await addJob();
  running.start(late);
  running.retry();
  await sleep(20);
  expect(log).toEqual([]);
  expect(running.isHeld(late)).toBe(false);
  expect(lines).toEqual([]); // that a job is left since the service stops is no error
  expect(running.isHeld(id)).toBe(true);
  expect(states(await readJob(registry, id))).toEqual(["running", "pending", "pending"]);
});

test("stopping: what may pass is not tried again", async () => {
  const { engine, addJob, steps, log } = world();
  const begun = Promise.withResolvers<void>();
  const fail = Promise.withResolvers<void>();
  for (const step of steps) {
    step.do = async () => {
      log.push(step.name);
      begun.resolve();
      await fail.promise;
      throw new VaultUnreachableError("read x", "ECONNREFUSED");
    };
  }
  const running = engine();
  running.start(await addJob());
  await begun.promise;
  const stopped = running.stop(5_000);
  fail.resolve();
  await stopped;
  expect(log).toEqual(["one"]);
});

test("stopping: a step that does not end is waited for so long, and no longer", async () => {
  const { engine, addJob, steps } = world();
  const begun = new Promise<void>((resolve) => {
    for (const step of steps) {
      step.do = () => {
        resolve();
        return new Promise(() => {});
      };
    }
  });
  const running = engine();
  running.start(await addJob());
  await begun;
  const from = performance.now();
  await running.stop(50);
  expect(performance.now() - from).toBeGreaterThan(45);
  expect(performance.now() - from).toBeLessThan(5_000);
});

test("watchers see each recorded change, until they stop watching", async () => {
  const { engine, addJob, ended } = world();
  const id = await addJob();
  const running = engine();
  const seen: number[] = [];
  const unwatch = running.watch(id, (job) => {
    seen.push(job.events.length);
    if (job.steps[2]?.state === "done") unwatch();
  });
  running.start(id);
  await ended(id);
  await sleep(5);
  expect(seen).toEqual([2, 4, 6, 7]);
});
