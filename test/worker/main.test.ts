import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished } from "vitest";
import { embeddedQueue } from "../../services/shared/queue/embedded.ts";
import type { ResultMessage } from "../../services/shared/work/messages.ts";
import { exceptionFor, headerPolicy, Jobs, keysOf, originOf } from "../harness/credential-jobs.ts";
import { test } from "../harness/fixtures.ts";
import type { Recorder } from "../harness/recorder.ts";
import type { InternalVault } from "../harness/vault.ts";
import { startWorkerProcess, type WorkerProcess, type WorkerSettings } from "../harness/worker-process.ts";

const SECRET = "sk_live_1m9/Zp+tiger&42";

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
});
