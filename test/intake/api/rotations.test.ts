import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Answer } from "../../harness/intake.ts";
import { type KeyApi, startKeyApi } from "../../harness/key-api.ts";
import { type RotationStage, startRotationStage } from "../../harness/rotation-stage.ts";

let stage: RotationStage;
let api: KeyApi;
let first: ReturnType<KeyApi["issue"]>;
let name = "";
let names = 0;

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
beforeEach(async () => {
  api.reset();
  first = api.issue();
  name = `provider-${++names}`;
  expect((await stage.put(name, first.value, api.policy(first.id))).status).toBe(201);
  expect((await stage.admin("PUT", `${name}/rotation`, { graceSeconds: 0 })).status).toBe(201);
});

const tokenOf = (...groups: string[]) => {
  const { orgClaim, groupsClaim } = stage.stage.issuer.issuer;
  return stage.stage.issuer.token({ sub: "olga", [orgClaim]: "org_acme", [groupsClaim]: groups });
};
const use = (token: string): Promise<Answer> => stage.intake.call("GET", `/v1/use/${name}/v1/me`, { token });

describe("a rotation's operator", () => {
  test("starts a rotation and watches it, and stands in its record", async () => {
    const token = tokenOf("rotation-operator");
    const path = `/v1/credentials/${name}/rotation`;
    const started = await stage.intake.call("POST", `${path}/start`, { token });
    expect(started.status).toBe(202);
    const run = await stage.ended(name, started.json.id);
    expect(run).toMatchObject({ state: "succeeded", by: { subject: "olga" } });
    expect(run.by.level).toBeUndefined();
    for (const each of [path, `${path}/runs`, started.headers.get("location") as string]) {
      const { status, text } = await stage.intake.call("GET", each, { token });
      expect(status).toBe(200);
      expect(text).not.toContain("sk-");
    }
  });

  test("can do nothing else: every other route refuses", async () => {
    const document = (await stage.intake.call("GET", "/v1/openapi.json", { token: tokenOf("admin") })).json;
    const mayDo = new Set([
      "get /v1/credentials/{name}/rotation",
      "post /v1/credentials/{name}/rotation/start",
      "get /v1/credentials/{name}/rotation/runs",
      "get /v1/credentials/{name}/rotation/runs/{id}",
      "get /v1/webhooks/{name}/rotation",
      "post /v1/webhooks/{name}/rotation/start",
    ]);
    const open = new Set(["get /v1/health", "get /v1/ready", "get /v1/openapi.json"]);
    const before = await stage.stored(name);
    const seen: string[] = [];
    for (const [path, operations] of Object.entries<Record<string, object>>(document.paths)) {
      for (const method of Object.keys(operations)) {
        const route = `${method} ${path}`;
        if (mayDo.has(route) || open.has(route)) continue;
        const filled = path
          .replace("{name}", name)
          .replace("{credential}", name)
          .replace("{id}", `j${"a".repeat(26)}`)
          .replace("{*}", "v1/me")
          .replace("*", "v1/me");
        const { status } = await stage.intake.call(method.toUpperCase(), filled, {
          token: tokenOf("rotation-operator"),
        });
        seen.push(`${route}: ${status}`);
      }
    }
    expect(seen.length).toBeGreaterThan(35);
    expect(seen.filter((each) => !each.endsWith(": 403"))).toEqual([]);
    expect(await stage.stored(name)).toEqual(before);
  });

  test("does not use the credential; a reader uses it and does not rotate it", async () => {
    expect((await use(tokenOf("rotation-operator"))).status).toBe(403);
    expect((await use(tokenOf("reader"))).json).toEqual({ me: first.id });
    const path = `/v1/credentials/${name}/rotation`;
    for (const level of ["reader", "writer"]) {
      for (const [method, at] of [
        ["GET", path],
        ["POST", `${path}/start`],
        ["GET", `${path}/runs`],
        ["DELETE", path],
      ] as const) {
        expect((await stage.intake.call(method, at, { token: tokenOf(level) })).status).toBe(403);
      }
    }
    expect(api.alive()).toHaveLength(1);
  });
});

describe("another recipe", () => {
  test("is sealed by the broker for an admin, as a new version with the same value", async () => {
    const { rotation } = api.policy(first.id);
    const recipe = { ...rotation, check: { method: "GET", path: "/v1/me", status: [200] } };
    const put = await stage.admin("PUT", `${name}/rotation`, { recipe, graceSeconds: 0 });
    expect(put).toMatchObject({ status: 200, json: { recipe, version: 2 } });
    expect(await stage.stored(name)).toEqual({ version: 2, value: first.value });
    expect(await stage.ended(name, await stage.start(name))).toMatchObject({ state: "succeeded" });
    expect(api.alive().map(({ value }) => value)).toEqual([(await stage.stored(name)).value]);
  });

  test("after a rotation: the key's id stays with the value, so the next one revokes it", async () => {
    await stage.ended(name, await stage.start(name));
    const { rotation } = api.policy("an-id-of-long-ago");
    const put = await stage.admin("PUT", `${name}/rotation`, { recipe: rotation, graceSeconds: 0 });
    expect(put.status).toBe(200);
    await stage.ended(name, await stage.start(name));
    expect(api.alive().map(({ value }) => value)).toEqual([(await stage.stored(name)).value]);
  });

  test("that would send the value elsewhere needs the value", async () => {
    const recipe = { type: "postgresql", host: "db.example.com", port: 5432, database: "app", role: "app" };
    const put = await stage.admin("PUT", `${name}/rotation`, { recipe });
    expect(put.status).toBe(403);
    expect(await stage.stored(name)).toEqual({ version: 1, value: first.value });
  });

  test("that is none is refused by part", async () => {
    const recipe = { ...api.policy().rotation, create: { method: "POST", path: "/v1/../keys" } };
    const put = await stage.admin("PUT", `${name}/rotation`, { recipe });
    expect(put.json).toMatchObject({ code: "invalid_destination", status: 422 });
  });

  test("while one is made by the old one: refused", async () => {
    api.fault = (line, when, response) => {
      if (when !== "before" || line !== "GET /v1/me") return false;
      response.writeHead(401).end();
      return true;
    };
    const id = await stage.start(name);
    await stage.inPhase(name, id, "check");
    const recipe = { ...api.policy().rotation, currentId: "another" };
    expect((await stage.admin("PUT", `${name}/rotation`, { recipe })).status).toBe(409);
    expect((await stage.admin("PUT", `${name}/rules`, { rules: [] })).status).toBe(409);
    api.fault = undefined;
    await stage.ended(name, id, 2);
  });
});

test("uses by the broker never fail while keys are replaced", { timeout: 60_000 }, async () => {
  await stage.admin("PUT", `${name}/rotation`, { graceSeconds: 1 });
  const token = tokenOf("reader");
  const results = new Map<number, number>();
  const keys = new Set<string>();
  let isDone = false;
  const user = (async () => {
    while (!isDone) {
      const { status, json } = await use(token);
      results.set(status, (results.get(status) ?? 0) + 1);
      if (json?.me) keys.add(json.me);
      await sleep(5);
    }
  })();
  for (let times = 0; times < 3; times++) await stage.ended(name, await stage.start(name));
  isDone = true;
  await user;
  expect([...results.keys()]).toEqual([200]);
  expect(results.get(200)).toBeGreaterThan(20);
  expect(keys.size).toBeGreaterThanOrEqual(3);
});
