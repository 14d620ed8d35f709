import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { expectNothingLeft } from "../control-plane/clean-slate.ts";
import { type Faults, Stage } from "../control-plane/stage.ts";

const STEPS = [
  "reserve",
  "create-unseal-key",
  "issue-unseal-token",
  "issue-certificate",
  "start-instance",
  "initialize",
  "configure",
  "verify",
  "revoke-root",
];
/** Between two steps, and within those that do several things. */
const FAILPOINTS = [
  ...STEPS.slice(1).map((step) => `${step}:after`),
  "issue-unseal-token:minted",
  "issue-unseal-token:recorded",
  "issue-unseal-token:stored",
  "issue-certificate:issued",
  "issue-certificate:recorded",
  "issue-certificate:stored",
  "initialize:recorded",
  "initialize:initialized",
];
/** Steps that have something to take back; what the others do goes with the storage. */
const UNDONE = [
  "initialize",
  "start-instance",
  "issue-certificate",
  "issue-unseal-token",
  "create-unseal-key",
  "reserve",
];

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open({ vaultBinary: inject("vaultBinary") });
  stage.startAgent();
});
afterAll(() => stage?.close());

/** Starts an onboarding on a control plane with these faults. */
async function begin(name: string, faults: Faults) {
  await stage.startControlPlane(faults);
  await stage.whenReady();
  return stage.create(name);
}

/** Starts a control plane without faults, which has to bring the job to its end. */
async function takeUp(job: string) {
  await stage.whenControlPlaneEnded();
  await stage.startControlPlane();
  return stage.ended(job);
}

describe("a step that fails has everything undone, its name and claim are free again", () => {
  test.each(FAILPOINTS)("%s", async (failpoint) => {
    const job = await begin("failing", { [failpoint]: "throw" });
    const ended = await stage.ended(job.id);
    const step = failpoint.split(":")[0];
    expect(ended).toMatchObject({ state: "failed", error: { code: "step_failed", step, retry: true } });
    expect(JSON.stringify(ended)).not.toContain("injected");
    await expectNothingLeft(stage, job.org);
    await stage.stopControlPlane();
  });
});

describe("killed at a step, the next control plane brings the onboarding to its end", () => {
  const failpoints = [...FAILPOINTS, "ready:marked"];

  test.each(failpoints)("%s", async (failpoint) => {
    const name = `killed-${failpoint.replace(":", "-")}`;
    const job = await begin(name, { [failpoint]: "kill" });
    const ended = await takeUp(job.id);
    expect(ended.error).toBeUndefined();
    expect(ended.state).toBe("succeeded");

    const org = await stage.org(job.org);
    expect(org.state).toBe("ready");
    const lost = ["initialize:recorded", "initialize:initialized"].includes(failpoint);
    expect(org.attempt).toBe(lost ? 2 : 1);
    expect(org.recoveryKeys).toHaveLength(3);
    await stage.writeSecret(org, failpoint);
    expect(await stage.readSecret(org)).toBe(failpoint);

    const record = await stage.record(org.id);
    expect(await stage.vaults(org.id)).toHaveLength(1);
    expect(await stage.unsealTokens(org.id)).toEqual([record.unsealTokenAccessor]);
    expect(await stage.certificates(org.id)).toEqual([record.certificateSerial]);
    expect((await stage.directory()).orgs.map(({ id }) => id)).toContain(org.id);
    await expect(stage.internal.root.read(`root-tokens/${org.id}`)).rejects.toMatchObject({ status: 404 });

    const { id } = await stage.json<{ id: string }>("DELETE", `/v1/orgs/${org.id}`);
    expect((await stage.ended(id)).state).toBe("succeeded");
    await stage.stopControlPlane();
  });
});

describe("in the middle of being asked", () => {
  const send = () => stage.request("POST", "/v1/orgs", { body: { name: "asked", claim: "org_asked" } });
  const kept = async () => [
    await stage.registry.jobs.keys(),
    await stage.registry.orgs.keys(),
    await stage.registry.names.keys(),
    await stage.registry.claims.keys(),
  ];

  test.each([
    "reserve:before",
    "reserve:after",
  ])("a failure at %s: an error, and nothing was begun", async (failpoint) => {
    const [jobs, orgs, names, claims] = await kept();
    await stage.startControlPlane({ [failpoint]: "throw" });
    await stage.whenReady();
    expect((await send()).status).toBe(500);
    const [jobsNow, orgsNow = [], ...rest] = await kept();
    expect([jobsNow, ...rest]).toEqual([jobs, names, claims]);
    for (const id of orgsNow.filter((each) => !orgs?.includes(each))) await expectNothingLeft(stage, id);
    await stage.stopControlPlane();
  });

  test.each([
    "reserve:before",
    "reserve:after",
  ])("killed at %s: the job is known, and brought to its end", async (failpoint) => {
    const [jobs] = await kept();
    await stage.startControlPlane({ [failpoint]: "kill" });
    await stage.whenReady();
    await expect(send()).rejects.toThrow();
    const [job = ""] = (await stage.registry.jobs.keys()).filter((id) => !jobs?.includes(id));
    const { state, org } = await takeUp(job);
    expect(state).toBe("succeeded");
    expect((await send()).status).toBe(409);
    const { id } = await stage.json<{ id: string }>("DELETE", `/v1/orgs/${org}`);
    expect((await stage.ended(id)).state).toBe("succeeded");
    await stage.stopControlPlane();
  });
});

describe("killed while undoing, the next control plane goes on undoing", () => {
  test.each(UNDONE)("%s", async (step) => {
    const job = await begin("undoing", { "configure:before": "throw", [`${step}:undo`]: "kill" });
    const ended = await takeUp(job.id);
    expect(ended).toMatchObject({ state: "failed", error: { step: "configure" } });
    await expectNothingLeft(stage, job.org);
    await stage.stopControlPlane();
  });
});

describe("killed while deleting, the next control plane goes on deleting", () => {
  const steps = ["unpublish", "stop-instance", "revoke-certificate", "revoke-unseal-token", "release-name"];

  test.each(steps)("%s", async (step) => {
    await stage.startControlPlane();
    const org = await stage.onboard("leaving");
    await stage.stopControlPlane();
    await stage.startControlPlane({ [`${step}:after`]: "kill" });
    await stage.whenReady();
    const before = await stage.registry.jobs.keys();
    // The first step runs before the request is answered.
    const asked = stage.request("DELETE", `/v1/orgs/${org.id}`);
    if (step === steps[0]) await expect(asked).rejects.toThrow();
    else expect((await asked).status).toBe(202);
    const [id = ""] = (await stage.registry.jobs.keys()).filter((each) => !before.includes(each));
    expect((await takeUp(id)).state).toBe("succeeded");
    expect((await stage.org(org.id)).state).toBe("deleted");
    await expectNothingLeft(stage, org.id);
    await stage.stopControlPlane();
  });
});

test("a deletion that fails can be asked for again, and goes on", async () => {
  await stage.startControlPlane();
  const org = await stage.onboard("staying");
  await stage.stopControlPlane();
  await stage.startControlPlane({ "stop-instance:before": "throw" });
  await stage.whenReady();
  const first = await stage.json<{ id: string }>("DELETE", `/v1/orgs/${org.id}`);
  expect(await stage.ended(first.id)).toMatchObject({ state: "failed", error: { step: "stop-instance" } });
  const { state, lastError } = await stage.org(org.id);
  expect(state).toBe("deleting");
  expect(lastError?.message).toContain("Delete it again");
  await stage.stopControlPlane();
  await stage.startControlPlane();
  const second = await stage.json<{ id: string }>("DELETE", `/v1/orgs/${org.id}`);
  expect(second.id).not.toBe(first.id);
  expect((await stage.ended(second.id)).state).toBe("succeeded");
  await expectNothingLeft(stage, org.id);
  await stage.stopControlPlane();
});

describe("both records rolled back to an unfinished onboarding: quarantined, and nothing is touched", () => {
  test.each(["reserve", "start-instance", "initialize", "revoke-root"])("at %s", async (step) => {
    await stage.startControlPlane();
    const org = await stage.onboard(`rolled-back-${step}`);
    await stage.writeSecret(org, "kept");
    await stage.stopControlPlane();

    const { registry } = stage;
    const unfinished = STEPS.indexOf(step);
    await registry.jobs.update(org.job, ({ endedAt: _, ...job }) => ({
      ...job,
      state: "running",
      steps: job.steps.map(({ name }, i) => {
        return { name, state: i < unfinished ? "done" : i === unfinished ? "running" : "pending" };
      }),
    }));
    await registry.orgs.update(org.id, ({ readyAt: _, ...record }) => ({
      ...record,
      state: "initializing",
      attempt: 1,
    }));
    const pids = await stage.vaults(org.id);

    await stage.startControlPlane();
    expect(await stage.ended(org.job)).toMatchObject({
      state: "failed",
      error: { code: "quarantined", retry: false },
    });
    expect((await stage.org(org.id)).state).toBe("quarantined");
    expect(await stage.vaults(org.id)).toEqual(pids);
    expect(await stage.readSecret(org)).toBe("kept");
    expect((await stage.directory()).orgs.map(({ id }) => id)).toContain(org.id);
    await stage.stopControlPlane();
  });
});
