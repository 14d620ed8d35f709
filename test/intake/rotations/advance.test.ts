import type { ServerResponse } from "node:http";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Block, blocksPartition } from "../../../services/intake/receipts/records.ts";
import { eventually } from "../../harness/intake.ts";
import { type KeyApi, startKeyApi } from "../../harness/key-api.ts";
import { type RotationStage, startRotationStage } from "../../harness/rotation-stage.ts";

let stage: RotationStage;
let api: KeyApi;
let names = 0;
let name = "";
let first: ReturnType<KeyApi["issue"]>;

beforeAll(async () => {
  api = await startKeyApi();
  stage = await startRotationStage({ privateDestinations: new Map([[api.origin, api.exception]]) }, [
    api.port,
  ]);
  await stage.startWorker();
});
afterAll(async () => {
  await stage?.close();
  await api?.close();
});
beforeEach(() => {
  api.reset();
  name = `provider-${++names}`;
  first = api.issue();
});

const NO_GRACE = { graceSeconds: 0 };
/** Puts the credential and its rotation. */
async function set(settings: object = NO_GRACE, policy = api.policy(first.id)) {
  expect((await stage.put(name, first.value, policy)).status).toBe(201);
  expect((await stage.admin("PUT", `${name}/rotation`, settings)).status).toBe(201);
}
const answer = (response: ServerResponse, status: number) => {
  response.writeHead(status, { "content-type": "application/json" }).end("{}");
  return true;
};
/** Has requests whose line matches answered with a status, unless the first key asks. */
const refuse = (line: RegExp, status: number, unless?: string) => {
  api.fault = (each, when, response) =>
    when === "before" && line.test(each) && api.requests.at(-1)?.by !== unless && answer(response, status);
};
const phases = (run: { steps: { phase: string }[] }) => run.steps.map(({ phase }) => phase);
const aliveValues = () => api.alive().map(({ value }) => value);

describe("a key of a provider that makes its keys", () => {
  test("is replaced: the new one is stored and works, the old one is revoked, nobody has seen either", async () => {
    await set();
    const run = await stage.ended(name, await stage.start(name));
    expect(run).toMatchObject({ state: "succeeded", oldKey: "revoked", fromVersion: 1, toVersion: 2 });
    expect(phases(run)).toEqual(["make", "check", "grace", "revoke", "ended"]);
    const { version, value } = await stage.stored(name);
    expect(version).toBe(2);
    expect(aliveValues()).toEqual([value]);
    expect(await stage.others(name)).toEqual([]);
    for (const secret of [value, first.value]) expect(stage.stage.log.join()).not.toContain(secret);
    const credential = await stage.admin("GET", name);
    expect(credential.json.versions.map((each: { version: number }) => each.version)).toEqual([2, 1]);
    expect(credential.headers.get("etag")).toBe('"2"');
  });

  test("again and again: each run revokes the key that the one before has made", async () => {
    await set();
    for (let times = 0; times < 3; times++) await stage.ended(name, await stage.start(name));
    expect(aliveValues()).toEqual([(await stage.stored(name)).value]);
    expect((await stage.stored(name)).version).toBe(4);
  });

  test("in the grace both work; after it the old one is revoked and its value deleted", async () => {
    await set({ graceSeconds: 600 });
    const id = await stage.start(name);
    const run = await stage.inPhase(name, id, "grace");
    expect(run).toMatchObject({ state: "running", oldKey: "in_grace", toVersion: 2 });
    expect(run.graceUntil).toBe(run.nextAt);
    expect(aliveValues().sort()).toEqual([first.value, (await stage.stored(name)).value].sort());
    expect(await stage.others(name)).toEqual([expect.stringContaining("retiring")]);
    expect((await stage.admin("GET", `${name}/rotation`)).json).toMatchObject({ keysLeft: 0, run: { id } });
    stage.stage.clock.skip(601);
    expect(await stage.ended(name, id)).toMatchObject({ oldKey: "revoked" });
    expect(aliveValues()).toEqual([(await stage.stored(name)).value]);
  });

  test("each phase at the provider has a receipt, begun before and completed after", async () => {
    await set();
    const id = await stage.start(name);
    await stage.ended(name, id);
    const { store, acme } = stage.stage;
    const entries = async () => {
      const blocks = await store.query<Block>(blocksPartition(acme), { limit: 1000 });
      return blocks
        .flatMap(({ body }) => body.receipts.map(({ entry }) => entry))
        .filter((entry) => entry.id === id);
    };
    await eventually(async () => (await entries()).length).toBe(6);
    const found = await entries();
    const intents = found.filter(({ type }) => type === "intent");
    expect(intents).toMatchObject([
      { action: "rotate", version: 1, method: "POST", pathPattern: "/v1/keys", by: { subject: "ada" } },
      { action: "rotate", version: 1, method: "GET", pathPattern: "/v1/me" },
      { action: "revoke", version: 2, method: "DELETE", pathPattern: "/v1/keys/{id}" },
    ]);
    expect(found.filter(({ type }) => type === "completion")).toMatchObject([
      { outcome: "answered", status: 201, sentBytes: 21 },
      { outcome: "answered", status: 200 },
      { outcome: "answered", status: 204 },
    ]);
  });

  test("without a request that revokes, the old one stays, and the run says so", async () => {
    const policy = api.policy(first.id);
    const { revoke: _, ...recipe } = policy.rotation as Extract<typeof policy.rotation, { type: "rest" }>;
    await set(NO_GRACE, { ...policy, rotation: recipe });
    expect(await stage.ended(name, await stage.start(name))).toMatchObject({ oldKey: "unknown" });
    expect(api.isAlive(first.value)).toBe(true);
  });
});

describe("a provider that fails", () => {
  test("refuses to make a key: the run fails at once, and the old value stays", async () => {
    await set();
    refuse(/^POST/, 403);
    const run = await stage.ended(name, await stage.start(name));
    expect(run).toMatchObject({ state: "failed", failure: { class: "provider_refused" } });
    expect(await stage.stored(name)).toEqual({ version: 1, value: first.value });
    api.fault = undefined;
    expect(await stage.ended(name, await stage.start(name))).toMatchObject({ state: "succeeded" });
    expect(aliveValues()).toEqual([(await stage.stored(name)).value]);
  });

  test("does not know the new key for a while: it is asked again", async () => {
    await set();
    let asked = 0;
    api.fault = (line, when, response) =>
      when === "before" && line === "GET /v1/me" && ++asked < 3 && answer(response, 401);
    const run = await stage.ended(name, await stage.start(name), 1);
    expect(run).toMatchObject({ state: "succeeded" });
    expect(phases(run).filter((phase) => phase === "check")).toHaveLength(3);
  });

  test("never knows the new key: that is revoked, and the old value stays", async () => {
    await set();
    refuse(/^GET/, 401);
    const run = await stage.ended(name, await stage.start(name), 10);
    expect(run).toMatchObject({ state: "failed", fromVersion: 1, failure: { class: "provider_refused" } });
    expect(run.toVersion).toBeUndefined();
    expect(phases(run).at(-2)).toBe("revoke");
    expect(await stage.stored(name)).toEqual({ version: 1, value: first.value });
    expect(aliveValues()).toEqual([first.value]);
    expect(await stage.others(name)).toEqual([]);
  });

  test("does not revoke: the new value is in use, and the next run begins with that", async () => {
    await set();
    refuse(/^DELETE/, 500);
    const run = await stage.ended(name, await stage.start(name), 600);
    expect(run).toMatchObject({ state: "failed", toVersion: 2, oldKey: "kept" });
    expect(aliveValues()).toHaveLength(2);
    expect((await stage.admin("GET", `${name}/rotation`)).json).toMatchObject({ keysLeft: 1 });
    api.fault = undefined;
    const next = await stage.ended(name, await stage.start(name));
    expect(phases(next)).toEqual(["revoke", "make", "check", "grace", "revoke", "ended"]);
    expect(aliveValues()).toEqual([(await stage.stored(name)).value]);
  }, 60_000);
});

describe("somebody changes the credential", () => {
  test("while a new value is made: refused", async () => {
    await set();
    refuse(/^GET/, 401);
    const id = await stage.start(name);
    await stage.inPhase(name, id, "check");
    const put = await stage.put(name, "another-value", api.policy());
    expect(put.json).toMatchObject({ status: 409, code: "conflict" });
    expect((await stage.admin("DELETE", name)).status).toBe(409);
    expect((await stage.admin("DELETE", `${name}/rotation`)).status).toBe(409);
    expect((await stage.admin("POST", `${name}/rotation/start`)).status).toBe(409);
    api.fault = undefined;
    expect(await stage.ended(name, id, 2)).toMatchObject({ state: "succeeded" });
  });

  test("puts the old value back in the grace: it is not revoked, and the run says what is left", async () => {
    await set({ graceSeconds: 600 });
    const id = await stage.start(name);
    await stage.inPhase(name, id, "grace");
    expect((await stage.put(name, first.value, api.policy(first.id))).status).toBe(200);
    stage.stage.clock.skip(601);
    const run = await stage.ended(name, id);
    expect(run).toMatchObject({ state: "failed", oldKey: "kept" });
    expect(api.isAlive(first.value)).toBe(true);
    expect(api.requests.map(({ line }) => line)).not.toContain(`DELETE /v1/keys/${first.id}`);
  });

  test("deletes it in the grace: nothing of it is left here", async () => {
    await set({ graceSeconds: 600 });
    const id = await stage.start(name);
    await stage.inPhase(name, id, "grace");
    expect((await stage.admin("DELETE", name)).status).toBe(204);
    expect(await stage.others(name)).toEqual([]);
    expect((await stage.admin("GET", `${name}/rotation`)).status).toBe(404);
    stage.stage.clock.skip(601);
    // A new one of the name is not the old one's.
    expect((await stage.put(name, first.value, api.policy(first.id))).status).toBe(201);
    expect((await stage.admin("GET", `${name}/rotation`)).status).toBe(404);
  });
});

describe("the schedule", () => {
  test("runs every two weeks unless told otherwise, and after a run again", async () => {
    await set({});
    const { json } = await stage.admin("GET", `${name}/rotation`);
    expect(json).toMatchObject({
      everySeconds: 14 * 24 * 3600,
      graceSeconds: 3600,
      enabled: true,
      version: 1,
    });
    expect(Date.parse(json.nextAt) / 1000).toBeCloseTo(stage.stage.clock.now() / 1000 + 14 * 24 * 3600, -1);
    await stage.admin("PUT", `${name}/rotation`, { everySeconds: 3600, graceSeconds: 0 });
    stage.stage.clock.skip(3601);
    await eventually(async () => (await stage.stored(name)).version).toBe(2);
    stage.stage.clock.skip(3601);
    await eventually(async () => (await stage.stored(name)).version).toBe(3);
    const { runs } = (await stage.admin("GET", `${name}/rotation/runs`)).json;
    expect(runs.at(-1).by).toEqual({ schedule: name });
    expect(runs.map((run: { id: string }) => run.id)).toEqual(
      runs
        .map((run: { id: string }) => run.id)
        .toSorted()
        .reverse(),
    );
  });

  test("of a disabled credential waits, and says why", async () => {
    await set({ everySeconds: 3600 });
    await stage.admin("POST", `${name}/disable`);
    const started = await stage.admin("POST", `${name}/rotation/start`);
    expect(started.json).toMatchObject({ code: "credential_disabled" });
    stage.stage.clock.skip(3601);
    await eventually(async () => (await stage.admin("GET", `${name}/rotation`)).json.lastError).toMatch(
      "disabled",
    );
    expect(aliveValues()).toEqual([first.value]);
  });

  test("that is not enabled never runs, and can be started", async () => {
    await set({ enabled: false, graceSeconds: 0 });
    const { json } = await stage.admin("GET", `${name}/rotation`);
    expect(json.nextAt).toBeUndefined();
    expect(await stage.ended(name, await stage.start(name))).toMatchObject({ state: "succeeded" });
  });

  test("keeps the last 50 runs", async () => {
    await set();
    refuse(/^POST/, 403);
    const ids: string[] = [];
    for (let times = 0; times < 53; times++) {
      ids.push(await stage.start(name));
      await stage.ended(name, ids.at(-1) as string);
    }
    const page = await stage.admin("GET", `${name}/rotation/runs?limit=100`);
    expect(page.json.runs.map(({ id }: { id: string }) => id)).toEqual(ids.toReversed().slice(0, 50));
    expect((await stage.admin("GET", `${name}/rotation/runs/${ids[0]}`)).status).toBe(404);
  }, 120_000);
});

describe("what is refused", () => {
  test.each([
    [{ everySeconds: 3599 }, 400],
    [{ graceSeconds: -1 }, 400],
    [{ enabled: "yes" }, 400],
    [{ secret: "x" }, 400],
  ])("settings %j", async (settings, status) => {
    expect((await stage.put(name, first.value, api.policy(first.id))).status).toBe(201);
    expect((await stage.admin("PUT", `${name}/rotation`, settings)).status).toBe(status);
  });

  test("a credential without a recipe, of another purpose, or that is not there", async () => {
    const { rotation: _, ...policy } = api.policy();
    await stage.put(name, first.value, policy);
    const put = await stage.admin("PUT", `${name}/rotation`, {});
    expect(put.json).toMatchObject({ status: 422, errors: [{ pointer: "/body/recipe" }] });
    expect((await stage.admin("GET", `${name}/rotation`)).status).toBe(404);
    expect((await stage.admin("PUT", "nobody/rotation", {})).status).toBe(404);
    expect((await stage.admin("POST", "nobody/rotation/start")).status).toBe(404);
  });

  test("settings that somebody else has changed", async () => {
    await set();
    const token = stage.stage.token("admin");
    const put = (etag: string) =>
      stage.intake.call("PUT", `/v1/credentials/${name}/rotation`, {
        ...{ token, body: {}, headers: { "if-match": etag } },
      });
    expect((await put('"2"')).status).toBe(412);
    expect((await put('"1"')).status).toBe(200);
  });

  test("another organization's", async () => {
    await set();
    const token = stage.stage.token("admin", "org_globex");
    for (const [method, path] of [
      ["GET", ""],
      ["POST", "/start"],
      ["GET", "/runs"],
      ["DELETE", ""],
    ]) {
      const { status } = await stage.intake.call(
        method as string,
        `/v1/credentials/${name}/rotation${path}`,
        {
          token,
        },
      );
      expect(status).toBe(404);
    }
  });
});
