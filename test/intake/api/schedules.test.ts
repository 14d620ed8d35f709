import { afterEach, beforeEach, expect, test } from "vitest";
import { KeyProviderError } from "../../../services/shared/envelope/key-provider.ts";
import {
  answered,
  credentialBody,
  eventually,
  type IntakeStage,
  type Message,
  startIntakeStage,
  type TestIntake,
} from "../../harness/intake.ts";

let stage: IntakeStage;
let intake: TestIntake;
let seen: Message[];
beforeEach(async () => {
  stage = await startIntakeStage();
  intake = await stage.start();
  seen = stage.answer("integration", () => answered());
  await intake.call("PUT", "/v1/credentials/mail", { token: stage.token("admin"), body: credentialBody() });
});
afterEach(() => stage.close());

const schedule = (changes: object = {}) => ({
  when: { everySeconds: 60 },
  credential: "mail",
  request: { method: "POST", path: "/v1/report", body: { text: "nightly" } },
  ...changes,
});
const put = (changes: object = {}, headers: Record<string, string> = {}, token = stage.token("writer")) =>
  intake.call("PUT", "/v1/schedules/nightly", { token, body: schedule(changes), headers });
const get = async () => (await intake.call("GET", "/v1/schedules/nightly", { token: stage.token() })).json;

test("a slot makes one job, which says which schedule made it", async () => {
  const made = await put();
  expect(made).toMatchObject({ status: 201, json: { name: "nightly", version: 1, disabled: false } });
  expect(made.headers.get("etag")).toBe('"1"');
  expect(seen).toEqual([]);
  stage.clock.skip(61);
  await eventually(() => seen.length).toBe(1);
  const { lastJob, lastAt, nextAt } = await get();
  const path = `/v1/jobs/${lastJob}`;
  await eventually(
    async () => (await intake.call("GET", path, { token: stage.token("writer") })).json,
  ).toMatchObject({
    ...{ id: lastJob, schedule: "nightly", state: "succeeded" },
  });
  expect(lastAt).toBe(made.json.nextAt);
  expect(Date.parse(nextAt)).toBe(Date.parse(lastAt) + 60_000);
});

test("never twice: of three intakes one makes the job of each slot", async () => {
  await stage.start();
  await stage.start();
  for (const name of ["a", "b", "c", "d", "e"]) {
    const answer = await intake.call("PUT", `/v1/schedules/${name}`, {
      token: stage.token("writer"),
      body: schedule(),
    });
    expect(answer.status).toBe(201);
  }
  for (let slot = 1; slot <= 4; slot++) {
    stage.clock.skip(61);
    await eventually(() => seen.length).toBe(5 * slot);
  }
  const jobs = await stage.store.query(`org/${stage.acme}/jobs/integration`);
  expect(jobs).toHaveLength(20);
  expect(new Set(seen.map(({ job }) => job)).size).toBe(20);
});

test("slots that were missed make one job, not all of them", async () => {
  await put();
  stage.clock.skip(3_600);
  await eventually(() => seen.length).toBe(1);
  expect(Date.parse((await get()).nextAt)).toBeGreaterThan(stage.clock.now());
  stage.clock.skip(61);
  await eventually(() => seen.length).toBe(2);
});

test("what is disabled, replaced or deleted is not due any more", async () => {
  await put();
  expect((await put({ disabled: true }, { "if-match": '"1"' })).json).toMatchObject({
    version: 2,
    disabled: true,
  });
  expect((await get()).nextAt).toBeUndefined();
  stage.clock.skip(120);
  await put({ when: { everySeconds: 600 } });
  stage.clock.skip(120);
  const deleted = await intake.call("DELETE", "/v1/schedules/nightly", { token: stage.token("writer") });
  expect(deleted.status).toBe(204);
  stage.clock.skip(3_600);
  await put({ when: { cron: "* * * * *", timeZone: "Europe/Vienna" } });
  stage.clock.skip(61);
  await eventually(() => seen.length).toBe(1);
  const due = await Promise.all(
    [0, 1, 2, 3].map((shard) => stage.store.query<{ type: string }>(`due/${shard}`)),
  );
  expect(due.flat().filter(({ body }) => body.type === "schedule")).toHaveLength(1);
});

test("a credential that is disabled or deleted costs the slot, and the schedule says so", async () => {
  await put();
  await intake.call("POST", "/v1/credentials/mail/disable", { token: stage.token("admin") });
  stage.clock.skip(61);
  await eventually(async () => (await get()).lastError).toContain("disabled");
  await intake.call("POST", "/v1/credentials/mail/enable", { token: stage.token("admin") });
  stage.clock.skip(61);
  await eventually(() => seen.length).toBe(1);
  expect((await get()).lastError).toBeUndefined();
  await intake.call("DELETE", "/v1/credentials/mail", { token: stage.token("admin") });
  stage.clock.skip(61);
  await eventually(async () => (await get()).lastError).toContain("no such credential");
});

test("a slot whose job could not be sealed is made up for, and the schedule goes on", async () => {
  await put();
  const { integration } = stage.keys;
  const makeDataKey = integration.makeDataKey;
  integration.makeDataKey = async () => {
    throw new KeyProviderError("unavailable", "the key provider is down");
  };
  stage.clock.skip(61);
  await eventually(() => stage.log.some((line) => line.includes("something due failed"))).toBe(true);
  expect(seen).toEqual([]);
  integration.makeDataKey = makeDataKey;
  stage.clock.skip(31);
  await eventually(() => seen.length).toBe(1);
  stage.clock.skip(61);
  await eventually(() => seen.length).toBe(2);
});

test("another version of the credential is used by the next slot", async () => {
  await put();
  await intake.call("PUT", "/v1/credentials/mail", { token: stage.token("admin"), body: credentialBody() });
  stage.clock.skip(61);
  await eventually(() => seen.map(({ version }) => version)).toEqual([2]);
});

test("a schedule may use what its maker may: not above, and not after the credential's level was raised", async () => {
  const admin = stage.token("admin");
  await intake.call("PUT", "/v1/credentials/mail", {
    token: admin,
    body: credentialBody({ level: "admin" }),
  });
  expect((await put()).json).toMatchObject({ status: 403, code: "forbidden" });
  await intake.call("PUT", "/v1/credentials/mail", {
    token: admin,
    body: credentialBody({ level: "writer" }),
  });
  await put();
  await intake.call("PUT", "/v1/credentials/mail", {
    token: admin,
    body: credentialBody({ level: "admin" }),
  });
  stage.clock.skip(61);
  await eventually(async () => (await get()).lastError).toContain("admin");
  expect(seen).toEqual([]);
});

test.each([
  ["too often", { when: { everySeconds: 59 } }, 400],
  ["a cron of six fields", { when: { cron: "* * * * * *" } }, 422],
  ["a time zone that is none", { when: { cron: "* * * * *", timeZone: "Nowhere/Land" } }, 422],
  ["both", { when: { cron: "* * * * *", everySeconds: 60 } }, 400],
  ["an unknown credential", { credential: "nothing" }, 404],
  ["a path outside the policy", { request: { method: "GET", path: "/v2" } }, 422],
])("refused: %s", async (_, changes, status) => {
  expect((await put(changes)).status).toBe(status);
  expect((await get()).code).toBe("not_found");
});
