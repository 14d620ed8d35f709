import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { KindQueues } from "../../../services/intake/dependencies.ts";
import { type Store, StoreUnavailableError } from "../../../services/intake/store/store.ts";
import { TOO_MANY_RECEIVES } from "../../../services/shared/queue/limits.ts";
import { type Queue, QueueUnavailableError } from "../../../services/shared/queue/queue.ts";
import { KINDS, type Kind } from "../../../services/shared/work/kinds.ts";
import type { Outcome } from "../../../services/shared/work/messages.ts";
import {
  answered,
  credentialBody,
  eventually,
  type IntakeStage,
  startIntakeStage,
  type TestIntake,
} from "../../harness/intake.ts";

let stage: IntakeStage;
let intake: TestIntake;
beforeEach(async () => {
  stage = await startIntakeStage();
  intake = await stage.start();
  await intake.call("PUT", "/v1/credentials/mail", { token: stage.token("admin"), body: credentialBody() });
});
afterEach(() => stage.close());

const submit = async (at = intake) => {
  const body = { credential: "mail", request: { method: "GET", path: "/v1/x" } };
  const { json, status } = await at.call("POST", "/v1/jobs", { token: stage.token("writer"), body });
  expect(status).toBe(202);
  return json as { id: string };
};
const read = async (id: string) =>
  (await intake.call("GET", `/v1/jobs/${id}`, { token: stage.token("writer") })).json;
const due = async () =>
  (await Promise.all([0, 1, 2, 3].map((shard) => stage.store.query<{ type: string }>(`due/${shard}`))))
    .flat()
    .map(({ body }) => body.type);

/** Queues that take nothing, as if the process had ended between store and send, or the queue were down. */
function deaf(send: () => Promise<void>): Record<Kind, KindQueues> {
  const queue: Queue = { send, consume: () => ({ stop: async () => {} }), close: async () => {} };
  return Object.fromEntries(KINDS.map((kind) => [kind, { jobs: queue, results: queue }])) as Record<
    Kind,
    KindQueues
  >;
}
const down = async () => {
  throw new QueueUnavailableError("the queue is down");
};

describe("the outbox", () => {
  test("a sent job leaves only the watch over its worker, and an ended one nothing", async () => {
    const { id } = await submit();
    expect(await due()).toEqual(["overdue"]);
    stage.answer("integration", () => answered());
    await eventually(async () => (await read(id)).state).toBe("succeeded");
    expect(await due()).toEqual([]);
    expect(await stage.store.query(`org/${stage.acme}/queued`)).toEqual([]);
    expect(await stage.store.query(`org/${stage.acme}/requests`)).toEqual([]);
  });

  test.each([
    ["while the queue is down", down],
    ["and its intake stands still before it is sent", undefined],
  ])("a job that is stored %s is sent by another intake", async (_, failing) => {
    const still = Promise.withResolvers<void>();
    const dying = await stage.start({ queues: deaf(failing ?? (() => still.promise)), now: Date.now });
    const body = { credential: "mail", request: { method: "GET", path: "/v1/x" } };
    const asked = dying
      .call("POST", "/v1/jobs", { token: stage.token("writer"), body })
      .catch(() => undefined);
    const partition = `org/${stage.acme}/jobs/integration`;
    await eventually(() => stage.store.query(partition)).toHaveLength(1);
    if (failing) expect((await asked)?.status).toBe(202);
    const [job] = await stage.store.query<{ id: string }>(partition);
    const seen = stage.answer("integration", () => answered());
    expect((await due()).sort()).toEqual(["overdue", "send"]);
    stage.clock.skip(11);
    await eventually(async () => (await read(job?.body.id ?? "")).state).toBe("succeeded");
    expect(seen).toHaveLength(1);
    await eventually(due).toEqual([]);
    still.resolve();
    await asked;
  });

  test("a hundred unsent jobs are each sent once by three intakes", async () => {
    const quiet = await stage.start({ queues: deaf(down), now: Date.now });
    await Promise.all(Array.from({ length: 100 }, () => submit(quiet)));
    await quiet.close();
    await stage.start();
    await stage.start();
    const seen = stage.answer("integration", () => undefined);
    stage.clock.skip(11);
    await eventually(() => new Set(seen.map(({ job }) => job)).size).toBe(100);
    await eventually(async () => (await due()).filter((type) => type === "send")).toEqual([]);
    expect(seen).toHaveLength(100);
  });

  test("a job whose credential was replaced before it was sent ends, and says why", async () => {
    const quiet = await stage.start({ queues: deaf(down), now: Date.now });
    const { id } = await submit(quiet);
    await intake.call("PUT", "/v1/credentials/mail", { token: stage.token("admin"), body: credentialBody() });
    stage.clock.skip(11);
    await eventually(async () => (await read(id)).state).toBe("failed");
    expect((await read(id)).failure).toMatchObject({ class: "not_openable" });
  });
});

test("a job that no worker reports on ends after its time", async () => {
  const { id } = await submit();
  stage.clock.skip(300 + 121);
  await eventually(async () => (await read(id)).state).toBe("failed");
  expect((await read(id)).failure).toMatchObject({ class: "expired" });
});

describe("results:", () => {
  const JOB = `j${"a".repeat(26)}`;
  const MARK = "a marked answer";
  const dropped = async () =>
    stage.log
      .map((line): Record<string, unknown> => JSON.parse(line))
      .filter(({ msg }) => msg === "a result cannot be taken; it is dropped")
      .map(({ kind, reason, job }) => ({ kind, reason, ...(job !== undefined && { job }) }));
  const whereMarked = async () => {
    const folder = join(stage.folder, "queues/integration");
    const names = await readdir(folder);
    const forms = [MARK, Buffer.from(MARK).toString("base64").replace(/=+$/, "")];
    const texts = await Promise.all(names.map((name) => readFile(join(folder, name), "latin1")));
    return names.filter((_, index) => forms.some((form) => texts[index]?.includes(form)));
  };
  const fail: Outcome = { state: "failed", failure: "timeout", detail: "late" };

  test("the first one counts, also when ten come at once", async () => {
    const { id } = await submit();
    const message = { job: id, org: stage.acme, attempt: 1 };
    await Promise.all(
      Array.from({ length: 10 }, (_, n) => stage.report("integration", message, answered(200, `${n}`))),
    );
    await eventually(async () => (await read(id)).state).toBe("succeeded");
    const first = await read(id);
    await stage.report("integration", message, fail);
    await eventually(() => stage.log.filter((line) => line.includes("not awaited")).length).toBe(10);
    expect(await read(id)).toEqual(first);
  });

  test("two intakes take them, and either knows", async () => {
    const other = await stage.start();
    stage.answer("integration", () => answered());
    const body = { credential: "mail", request: { method: "GET", path: "/v1/x" } };
    for (let count = 0; count < 20; count++) {
      const at = count % 2 ? intake : other;
      const done = await at.call("POST", "/v1/jobs", {
        ...{ token: stage.token("writer"), body },
        headers: { prefer: "wait=20" },
      });
      expect(done.json).toMatchObject({ state: "succeeded" });
    }
  });

  test.each<[string, (id: string) => Promise<void>]>([
    [
      "another kind's queue",
      (job) => stage.report("webhook", { job, org: stage.acme, attempt: 1 }, answered()),
    ],
    ["the feed's queue", (job) => stage.report("feed", { job, org: stage.acme, attempt: 1 }, answered())],
    [
      "another organization",
      (job) => stage.report("integration", { job, org: stage.globex, attempt: 1 }, answered()),
    ],
    [
      "an attempt to come",
      (job) => stage.report("integration", { job, org: stage.acme, attempt: 2 }, answered()),
    ],
    [
      "another type of work",
      (job) =>
        stage.report(
          "integration",
          { job, org: stage.acme, attempt: 1 },
          { state: "rewrapped", envelope: "AAAA" },
        ),
    ],
    [
      "a key's maker",
      (job) =>
        stage.report(
          "integration",
          { job, org: stage.acme, attempt: 1 },
          { state: "key-made", publicKey: "AA", privateKey: "AAAA" },
        ),
    ],
  ])("one of %s is dropped and logged", async (_, forge) => {
    const { id } = await submit();
    await forge(id);
    await eventually(() => stage.log.some((line) => line.includes("a result is dropped"))).toBe(true);
    expect((await read(id)).state).toBe("queued");
  });

  test.each([
    ["no JSON", "{ MARK"],
    ["another form", JSON.stringify({ job: JOB, body: "MARK" })],
    ["an id that is something else", JSON.stringify({ job: "../MARK", org: "o", attempt: 1, outcome: {} })],
  ])("one that is %s is dropped, with nothing of it in log and files", async (_, body) => {
    await stage.queues.integration.results.send({ body: body.replace("MARK", MARK), group: "x" });
    await eventually(dropped).toEqual([
      { kind: "integration", reason: "malformed", ...(body.includes(JOB) && { job: JOB }) },
    ]);
    await eventually(whereMarked).toEqual([]);
    expect(stage.log.join("\n")).not.toContain(MARK);
  });

  test("one that the store does not take in many tries is dropped, and nothing of it remains", async () => {
    const { id } = await submit();
    await intake.close();
    const broken: Store = {
      ...stage.store,
      get: async () => {
        throw new StoreUnavailableError("the store is down");
      },
    };
    intake = await stage.start({ store: broken });
    await stage.report("integration", { job: id, org: stage.acme, attempt: 1 }, answered(200, MARK));
    await eventually(() => stage.log.some((line) => line.includes("it is tried again"))).toBe(true);
    expect(await dropped()).toEqual([]);
    // The tries so far, which take six minutes.
    const file = join(stage.folder, "queues/integration/results.sqlite");
    const database = new DatabaseSync(file, { timeout: 2_000 });
    database.exec("UPDATE messages SET receives = 19, visible_at = 0");
    database.close();
    await eventually(dropped).toEqual([{ kind: "integration", reason: TOO_MANY_RECEIVES, job: id }]);
    await eventually(whereMarked).toEqual([]);
    expect(stage.log.join("\n")).not.toContain(MARK);
  });

  test("a result that is too large for the store fails the job", async () => {
    const { id } = await submit();
    await stage.report(
      "integration",
      { job: id, org: stage.acme, attempt: 1 },
      answered(200, "x".repeat(300_000)),
    );
    await eventually(async () => (await read(id)).state).toBe("failed");
    expect((await read(id)).failure).toMatchObject({ class: "answer_too_large" });
  });
});
