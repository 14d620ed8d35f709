import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { createEngine } from "../../../services/control-plane/jobs/engine.ts";
import { onceFor } from "../../../services/control-plane/jobs/idempotency.ts";
import { isEnded } from "../../../services/control-plane/jobs/job-state.ts";
import { createOrgLocks } from "../../../services/control-plane/jobs/org-locks.ts";
import type { Step, Workflow } from "../../../services/control-plane/jobs/workflow.ts";
import { StrongroomError } from "../../../services/shared/errors.ts";
import { newOrgId } from "../../../services/shared/org.ts";
import { VaultUnreachableError } from "../../../services/shared/vault/client.ts";
import { memoryRegistry, memoryStore, readJob, silent } from "../fixtures.ts";

/** An engine whose jobs have a first step of the test's and a last one, and what was done. */
function world(first: Partial<Step>) {
  const done: string[] = [];
  const registry = memoryRegistry(memoryStore());
  const workflow: Workflow = {
    kind: "create",
    permission: "orgs:create",
    steps: [
      { name: "first", do: async () => void done.push("first"), ...first },
      { name: "last", do: async () => void done.push("last") },
    ],
    succeed: async () => {},
  };
  const engine = createEngine({
    registry,
    workflows: { create: workflow, delete: { ...workflow, kind: "delete" } },
    locks: createOrgLocks(),
    log: silent,
    now: () => new Date(),
    failpoint: async () => {},
    waits: [1, 1],
  });
  const ended = async (id: string) => {
    for (;;) {
      const job = await readJob(registry, id);
      if (isEnded(job)) return job;
      await sleep(1);
    }
  };
  return { done, registry, engine, ended };
}

const refused = new StrongroomError("conflict", "It is taken.");

test("the first step has run when the job is returned; the others follow", async () => {
  const { engine, done, ended } = world({});
  const job = await engine.submit("create", { org: newOrgId() });
  expect(job.steps.map(({ state }) => state)).toEqual(["done", "pending"]);
  expect(done[0]).toBe("first");
  expect(await ended(job.id)).toMatchObject({ state: "succeeded" });
  expect(done).toEqual(["first", "last"]);
});

test.each([
  true,
  false,
])("what the first step refuses is thrown, and leaves no job (it has an undo: %s)", async (hasUndo) => {
  const undone: string[] = [];
  const { engine, registry } = world({
    do: () => Promise.reject(refused),
    ...(hasUndo && { undo: async () => void undone.push("first") }),
  });
  const once = onceFor("operator", "key", []);
  await expect(engine.submit("create", { org: newOrgId(), once })).rejects.toBe(refused);
  expect(await registry.jobs.keys()).toEqual([]);
  expect(await registry.idempotency.keys()).toEqual([]);
  expect(undone).toEqual(hasUndo ? ["first"] : []);
});

test("what fails in a first step without an undo is tried again by the engine", async () => {
  let tries = 0;
  const { engine, ended } = world({
    async do() {
      if (++tries === 1) throw new VaultUnreachableError("GET x", "ECONNRESET");
    },
  });
  const job = await engine.submit("delete", { org: newOrgId() });
  expect(await ended(job.id)).toMatchObject({ state: "succeeded" });
  expect(tries).toBe(2);
});

test("the same request gets the same job, also at the same time; another one under its key a conflict", async () => {
  const { engine, registry, done, ended } = world({});
  const once = onceFor("operator", "key", ["acme"]);
  const submit = () => engine.submit("create", { org: newOrgId(), once });
  const jobs = await Promise.all([submit(), submit(), submit()]);
  jobs.push(await submit());
  expect(new Set(jobs.map(({ id }) => id)).size).toBe(1);
  await ended(jobs[0]?.id ?? "");
  expect(done).toEqual(["first", "last"]);
  expect(await registry.jobs.keys()).toHaveLength(1);
  const other = onceFor("operator", "key", ["globex"]);
  await expect(engine.submit("create", { org: newOrgId(), once: other })).rejects.toMatchObject({
    code: "conflict",
  });
});
