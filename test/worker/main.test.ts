import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, onTestFinished } from "vitest";
import { embeddedQueue } from "../../services/shared/queue/embedded.ts";
import type { FeedMessage, ResultMessage } from "../../services/shared/work/messages.ts";
import {
  exceptionFor,
  headerPolicy,
  Jobs,
  keysOf,
  originOf,
  webhookPolicy,
} from "../harness/credential-jobs.ts";
import { test } from "../harness/fixtures.ts";
import type { Recorder } from "../harness/recorder.ts";
import type { InternalVault } from "../harness/vault.ts";
import { startWorkerProcess, type WorkerProcess, type WorkerSettings } from "../harness/worker-process.ts";

const harness = (name: string) => fileURLToPath(new URL(`../harness/${name}`, import.meta.url));
const SECRET = "sk_live_1m9/Zp+tiger&42";

/** Node 24 does not check the files that `node:sqlite` opens: there the operating system's permissions are the wall. */
const NOT_CONFINED = ["open the store", "attach the store"];

let internal: InternalVault;
let destination: Recorder;
let jobs: Jobs;
test.beforeAll(({ recordedOrg }) => {
  ({ internal, recorder: destination } = recordedOrg);
  jobs = new Jobs(keysOf(internal, "intake", "integration"), "integration");
});
beforeEach(() => {
  destination.clear();
  destination.answer = undefined;
});

async function start(folder: string, changes: Partial<WorkerSettings> = {}): Promise<WorkerProcess> {
  const worker = await startWorkerProcess({
    kind: "integration",
    folder,
    login: { address: internal.endpoint.address, credentials: internal.logins["worker-integration"] },
    exceptions: [exceptionFor(destination, internal.ca)],
    ...changes,
  });
  onTestFinished(() => worker.kill("SIGKILL"));
  return worker;
}

/** The queues of a folder, and the results that come. */
async function queuesOf(folder: string) {
  const [queue, resultQueue] = await Promise.all(
    ["jobs", "results"].map((name) => embeddedQueue(join(folder, "queues", `${name}.sqlite`))),
  );
  if (!queue || !resultQueue) throw new Error("there are no queues");
  const results: ResultMessage[] = [];
  resultQueue.consume({ concurrency: 4, visibilitySeconds: 30, maxReceives: 5 }, async ({ body }) => {
    results.push(JSON.parse(body) as ResultMessage);
    return { done: true };
  });
  onTestFinished(async () => {
    await Promise.all([queue.close(), resultQueue.close()]);
  });
  const send = (message: { org: string }) =>
    queue.send({ body: JSON.stringify(message), group: message.org });
  return { queue, results, send };
}

describe("a worker", () => {
  test("does a job under the permission model, without a listening socket, and ends when told", async ({
    folder,
  }) => {
    const worker = await start(folder);
    const { results, send } = await queuesOf(folder);
    const message = await jobs.request(SECRET, headerPolicy(originOf(destination)));
    destination.answer = ({ headers }, response) => response.end(headers.authorization);
    await send(message);
    await expect.poll(() => results).toHaveLength(1);
    expect(results[0]).toMatchObject({
      ...{ job: message.job, org: message.org, attempt: 1 },
      outcome: { state: "answered", status: 200, scrubbed: 1 },
    });
    expect(await worker.listening()).toEqual([]);
    expect(worker.output()).not.toContain("tiger");
    worker.child.kill("SIGTERM");
    expect(await worker.ended).toBe(0);
    expect(worker.lines()).toMatchObject([
      { msg: "started", kind: "integration", permissionModel: true },
      { msg: "job ended", job: message.job, org: message.org, type: "request", outcome: "answered" },
    ]);
  });

  test("reads, writes and starts nothing but its own, and keeps no environment", async ({ folder }) => {
    const store = join(folder, "store.sqlite");
    new DatabaseSync(store).exec("CREATE TABLE secret (value); INSERT INTO secret VALUES ('x')");
    await writeFile(join(folder, "addon.node"), "");
    const worker = await start(folder, {
      environment: {
        PROBE_STORE: store,
        PROBE_FOLDER: folder,
        HTTPS_PROXY: "http://127.0.0.1:1",
        HOME: folder,
      },
      nodeFlags: [`--allow-fs-read=${harness("worker-probe.ts")}`, "--import", harness("worker-probe.ts")],
    });
    await expect.poll(() => worker.lines()).toHaveLength(1);
    worker.child.kill("SIGUSR2");
    await expect.poll(() => worker.lines()).toHaveLength(2);
    const [, probe] = worker.lines();
    expect((probe?.probed as string[]).length).toBeGreaterThanOrEqual(12);
    expect(probe?.done).toEqual(NOT_CONFINED);
    // It still works.
    const { results, send } = await queuesOf(folder);
    await send(await jobs.request(SECRET, headerPolicy(originOf(destination))));
    await expect.poll(() => results).toHaveLength(1);
    expect(results[0]?.outcome).toMatchObject({ state: "answered", status: 200 });
  });

  test("the probe itself finds all of it open without the permission model", async ({ folder }) => {
    const store = join(folder, "store.sqlite");
    new DatabaseSync(store).exec("CREATE TABLE secret (value); INSERT INTO secret VALUES ('x')");
    const worker = await start(folder, {
      environment: { PROBE_STORE: store, PROBE_FOLDER: folder },
      unconfined: true,
      nodeFlags: ["--import", harness("worker-probe.ts")],
    });
    await expect.poll(() => worker.lines()).toHaveLength(1);
    expect(worker.lines()[0]).toMatchObject({ permissionModel: false });
    worker.child.kill("SIGUSR2");
    await expect.poll(() => worker.lines()).toHaveLength(2);
    expect(worker.lines()[1]?.done).toEqual(
      expect.arrayContaining([
        "read the store",
        "open the store",
        "write beside its queues",
        "start a process",
      ]),
    );
  });

  test("remembers nothing of a job: its heap holds no form of the credential", async ({ folder }) => {
    const heap = join(folder, "queues", "heap.json");
    const worker = await start(folder, {
      environment: { PROBE_HEAP: heap },
      nodeFlags: [`--allow-fs-read=${harness("worker-probe.ts")}`, "--import", harness("worker-probe.ts")],
    });
    const { results, send } = await queuesOf(folder);
    destination.answer = ({ headers }, response) =>
      response.writeHead(200, { "X-Echo": headers.authorization }).end(JSON.stringify({ headers }));
    const canary = "sk_live_canary5f2a9c71tiger";
    const policy = headerPolicy(originOf(destination));
    for (let count = 0; count < 20; count++) {
      await send(
        await jobs.request(canary, policy, { method: "POST", path: "/v1/a", body: btoa(`hidden-${canary}`) }),
      );
    }
    await expect.poll(() => results).toHaveLength(20);
    // Jobs with another credential follow: only the last one's could still be in use.
    await send(await jobs.request(SECRET, policy));
    await expect.poll(() => results).toHaveLength(21);
    const snapshots = () => worker.lines().filter((line) => line.heap !== undefined);
    worker.child.kill("SIGUSR2");
    await expect.poll(snapshots).toHaveLength(1);
    const text = await readFile(heap, "latin1");
    const forms = [
      ...[canary, "canary5f2a9c71", Buffer.from(canary).toString("hex"), encodeURIComponent(canary)],
      ...[0, 1, 2].map((skip) => Buffer.from(canary.slice(skip, skip + 24)).toString("base64")),
    ];
    expect(forms.filter((form) => text.includes(form))).toEqual([]);

    // In the middle of a job it is found, so the search works.
    destination.answer = () => {};
    await send(await jobs.request(canary, policy));
    await expect.poll(() => destination.requests).toHaveLength(22);
    worker.child.kill("SIGUSR2");
    await expect.poll(snapshots).toHaveLength(2);
    expect(await readFile(heap, "latin1")).toContain(canary);
  });

  test("ends itself with status 0 after so many jobs, and answers those in hand", async ({ folder }) => {
    const worker = await start(folder, { settings: { STRONGROOM_MAX_JOBS: "3" } });
    const { results, send } = await queuesOf(folder);
    const policy = headerPolicy(originOf(destination));
    for (let count = 0; count < 3; count++) await send(await jobs.request(SECRET, policy));
    expect(await worker.ended).toBe(0);
    await expect.poll(() => results).toHaveLength(3);
  });

  test("a job that is slower than the stop is done by another worker", async ({ folder }) => {
    const first = await start(folder, { settings: { STRONGROOM_VISIBILITY_SECONDS: "2" } });
    const { results, send } = await queuesOf(folder);
    destination.answer = () => {};
    const message = await jobs.request(SECRET, headerPolicy(originOf(destination)));
    await send(message);
    await expect.poll(() => destination.requests).toHaveLength(1);
    await first.kill("SIGKILL");
    destination.answer = undefined;
    await start(folder, { settings: { STRONGROOM_VISIBILITY_SECONDS: "2" } });
    const since = performance.now();
    await expect.poll(() => results).toHaveLength(1);
    expect(performance.now() - since).toBeLessThan(10_000);
    expect(destination.requests.map(({ headers }) => headers["idempotency-key"])).toEqual([
      message.job,
      message.job,
    ]);
  });

  test("writes nothing of a job to its folder or its log but ciphertext", async ({ folder }) => {
    const worker = await start(folder);
    const { results, send } = await queuesOf(folder);
    destination.answer = ({ headers }, response) => response.end(headers.authorization);
    for (let count = 0; count < 5; count++) {
      await send(
        await jobs.request(SECRET, headerPolicy(originOf(destination)), {
          method: "GET",
          path: "/v1/q?hidden=tiger",
        }),
      );
    }
    await expect.poll(() => results).toHaveLength(5);
    const files = await readdir(folder, { recursive: true, withFileTypes: true });
    const texts = await Promise.all(
      files
        .filter((file) => file.isFile())
        .map((file) => readFile(join(file.parentPath, file.name), "latin1")),
    );
    const tiger = [
      SECRET,
      "tiger",
      Buffer.from(SECRET).toString("base64"),
      Buffer.from(SECRET).toString("hex"),
    ];
    for (const form of tiger) expect(texts.join() + worker.output()).not.toContain(form);
  });
});

describe("the other kinds", () => {
  test("webhook: posts a signed delivery, and leaves an integration's job undone", async ({ folder }) => {
    const credentials = internal.logins["worker-webhook"];
    const worker = await start(folder, {
      kind: "webhook",
      login: { address: internal.endpoint.address, credentials },
    });
    const { queue, results, send } = await queuesOf(folder);
    const secret = `whsec_${Buffer.from("a secret of 24 bytes....").toString("base64")}`;
    const webhooks = new Jobs(keysOf(internal, "intake", "webhook"), "webhook");
    await send(await webhooks.delivery([secret], webhookPolicy(originOf(destination)), '{"a":1}'));
    await expect.poll(() => results).toHaveLength(1);
    expect(results[0]?.outcome).toMatchObject({ state: "answered", status: 200 });
    expect(destination.requests[0]?.headers["webhook-signature"]).toMatch(/^v1,/);
    await send(await jobs.request(SECRET, headerPolicy(originOf(destination))));
    await expect.poll(() => results).toHaveLength(2);
    expect(results[1]?.outcome).toMatchObject({ state: "failed", failure: "malformed" });
    expect(destination.requests).toHaveLength(1);
    await expect.poll(() => queue.deadLetters.list(10)).toMatchObject([{ reason: "malformed" }]);
    expect(await worker.listening()).toEqual([]);
  });

  test("feed: fetches without a key", async ({ folder }) => {
    const worker = await startWorkerProcess({
      ...{ kind: "feed", folder, exceptions: [exceptionFor(destination, internal.ca)] },
    });
    onTestFinished(() => worker.kill("SIGKILL"));
    const { results, send } = await queuesOf(folder);
    const items = [{ id: "1", title: "One" }];
    destination.answer = (_, response) =>
      response.end(JSON.stringify({ version: "https://jsonfeed.org/version/1.1", title: "J", items }));
    const { job, org, notAfter } = await jobs.request(SECRET, headerPolicy(originOf(destination)));
    await send({
      job,
      org,
      attempt: 1,
      notAfter,
      type: "fetch",
      url: `${originOf(destination)}/f`,
    } as FeedMessage);
    await expect.poll(() => results).toHaveLength(1);
    expect(results[0]?.outcome).toMatchObject({ state: "fetched", title: "J", items });
    expect(await worker.listening()).toEqual([]);
    await worker.kill();
    expect(await worker.ended).toBe(0);
  });
});

describe.each(["received", "opened", "sent", "answered"])("killed after it has %s", (step) => {
  test("the job is done by another worker, under the same idempotency key", async ({ folder }) => {
    const settings = { STRONGROOM_VISIBILITY_SECONDS: "1" };
    const first = await start(folder, { settings, program: [harness("failing-worker.ts"), step] });
    const { queue, results, send } = await queuesOf(folder);
    const message = await jobs.request(SECRET, headerPolicy(originOf(destination)));
    await send(message);
    expect(await first.ended).toBe("SIGKILL");
    expect(destination.requests).toHaveLength(step === "sent" || step === "answered" ? 1 : 0);
    const second = await start(folder, { settings });
    await expect.poll(() => second.lines().filter(({ msg }) => msg === "job ended")).toHaveLength(1);
    await expect.poll(() => results.length).toBeGreaterThanOrEqual(step === "answered" ? 2 : 1);
    for (const result of results) {
      expect(result).toMatchObject({ job: message.job, outcome: { state: "answered", status: 200 } });
    }
    expect(new Set(destination.requests.map(({ headers }) => headers["idempotency-key"]))).toEqual(
      new Set([message.job]),
    );
    await second.kill();
    expect(await queue.deadLetters.list(10)).toEqual([]);
  });
});

test("of 120 jobs none is lost while workers are killed at random", { timeout: 120_000 }, async ({
  folder,
}) => {
  const settings = { STRONGROOM_VISIBILITY_SECONDS: "1", STRONGROOM_MAX_JOBS: "40" };
  const { queue, results, send } = await queuesOf(folder);
  const policy = headerPolicy(originOf(destination));
  const ids: string[] = [];
  for (let count = 0; count < 120; count++) {
    const message = await jobs.request(SECRET, policy, { method: "POST", path: `/v1/${count}` });
    ids.push(message.job);
    await send(message);
  }
  destination.answer = (_, response) => void setTimeout(() => response.end("done"), 20);
  const done = () => new Set(results.map(({ job }) => job)).size;
  let kills = 0;
  while (done() < ids.length) {
    const worker = await start(folder, { settings });
    const target = Math.min(ids.length, done() + 15);
    await Promise.race([worker.ended, expect.poll(done).toBeGreaterThanOrEqual(target)]);
    await worker.kill("SIGKILL");
    kills++;
  }
  expect(kills).toBeGreaterThan(2);
  expect(new Set(results.map(({ job }) => job))).toEqual(new Set(ids));
  for (const { outcome } of results) expect(outcome).toMatchObject({ state: "answered", status: 200 });
  // Whatever the destination was asked for twice, it was asked under the same key.
  const keys = new Map(destination.requests.map(({ url, headers }) => [url, headers["idempotency-key"]]));
  expect([...keys.values()]).toEqual(expect.arrayContaining(ids));
  for (const { url, headers } of destination.requests) expect(headers["idempotency-key"]).toBe(keys.get(url));
  expect(await queue.deadLetters.list(10)).toEqual([]);
});

describe("settings", () => {
  test("a worker that cannot use them ends with status 78 and a line that says why", async ({ folder }) => {
    const worker = await start(folder, { kind: "feed" });
    expect(await worker.ended).toBe(78);
    expect(worker.output()).toContain("STRONGROOM_KEY: a feed worker must not have it");
  });
});
