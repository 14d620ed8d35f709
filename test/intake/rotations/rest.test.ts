import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
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

/** Puts the credential, by whose policy the API's port is allowed, and its rotation. */
async function set(settings: object = { graceSeconds: 0 }, policy = api.policy(first.id)) {
  expect((await stage.put(name, first.value, policy)).status).toBe(201);
  expect((await stage.admin("PUT", `${name}/rotation`, settings)).status).toBe(201);
}

describe("a key of a provider that makes its keys", () => {
  test("is replaced: the new one is stored and works, the old one is revoked, nobody has seen either", async () => {
    await set();
    const id = await stage.start(name);
    const run = await stage.ended(name, id);
    expect(run).toMatchObject({ state: "succeeded", oldKey: "revoked", fromVersion: 1, toVersion: 2 });
    expect(run.steps.map((step: { phase: string }) => step.phase)).toEqual([
      "make",
      "check",
      "grace",
      "revoke",
      "ended",
    ]);
    const { version, value } = await stage.stored(name);
    expect(version).toBe(2);
    expect(api.alive().map((key) => key.value)).toEqual([value]);
    expect(await stage.others(name)).toEqual([]);
    expect(stage.stage.log.join()).not.toContain(value);
    expect(stage.stage.log.join()).not.toContain(first.value);
  });
});
