import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runStrongroom } from "../../../services/cli/program.ts";
import { type KeyApi, startKeyApi } from "../../harness/key-api.ts";
import { type RotationStage, startRotationStage } from "../../harness/rotation-stage.ts";

let stage: RotationStage;
let api: KeyApi;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "strongroom-cli-"));
  api = await startKeyApi();
  stage = await startRotationStage({ privateDestinations: new Map([[api.origin, api.exception]]) }, [
    api.port,
  ]);
  await stage.startWorker();
  const { orgClaim, groupsClaim } = stage.stage.issuer.issuer;
  for (const group of ["admin", "rotation-operator", "reader"]) {
    const claims = { sub: group, [orgClaim]: "org_acme", [groupsClaim]: [group] };
    await writeFile(join(folder, group), stage.stage.issuer.token(claims), { mode: 0o600 });
  }
});
afterAll(async () => {
  await stage?.close();
  await api?.close();
  await rm(folder, { recursive: true });
});

async function strongroom(group: string, ...line: string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const env = { STRONGROOM_INTAKE: stage.intake.address, STRONGROOM_TOKEN_FILE: join(folder, group) };
  const read = Promise.all([text(stdout), text(stderr)]);
  const status = await runStrongroom(["credential", "rotation", ...line], env, stdout, stderr);
  stdout.end();
  stderr.end();
  const [out, err] = await read;
  return { status, out, err };
}

test("set, start, status and history", async () => {
  const first = api.issue();
  const { rotation, ...policy } = api.policy(first.id);
  await stage.put("provider", first.value, policy as ReturnType<KeyApi["policy"]>);
  await writeFile(join(folder, "recipe.json"), JSON.stringify(rotation));
  const without = await strongroom("admin", "set", "provider");
  expect(without).toMatchObject({ status: 2, out: "" });
  expect(without.err).toContain("recipe: is missing");

  const recipe = ["--recipe", join(folder, "recipe.json")];
  const set = await strongroom("admin", "set", "provider", ...recipe, "--every", "168h", "--grace", "1s");
  expect(set).toMatchObject({ status: 0, out: "" });
  expect(set.err).toContain("provider is rotated next at 20");

  const none = await strongroom("rotation-operator", "history", "provider");
  expect(none).toMatchObject({ status: 0, out: "", err: "provider was not rotated yet.\n" });
  const started = await strongroom("rotation-operator", "start", "provider", "--wait");
  expect(started.status).toBe(0);
  expect(started.out).toMatch(/^j[a-z2-7]{26}\n$/);
  expect(started.err).toMatch(/Version 3 is in use; the old key works until 20/);
  await stage.ended("provider", started.out.trim());

  const status = await strongroom("rotation-operator", "status", "provider");
  expect(status.out).toMatch(/^Recipe {2}rest\nEvery {3}168 h\nNext {4}20/);
  const history = await strongroom("rotation-operator", "history", "provider");
  expect(history.out).toMatch(
    new RegExp(`${started.out.trim()} {2}succeeded {2}ended {2}rotation-operator {2}2 to 3 .*revoked`),
  );
  const json = JSON.parse((await strongroom("admin", "history", "provider", "--json")).out);
  expect(json).toMatchObject([{ state: "succeeded", fromVersion: 2, toVersion: 3 }]);
  expect(api.alive().map(({ value }) => value)).toEqual([(await stage.stored("provider")).value]);
});

test("a rotation that fails, and callers who may not", async () => {
  const first = api.issue();
  await stage.put("failing", first.value, api.policy(first.id));
  await strongroom("admin", "set", "failing", "--off");
  api.fault = (_line, when, response) => {
    if (when === "before") response.writeHead(403).end();
    return when === "before";
  };
  const started = await strongroom("admin", "start", "failing", "--wait");
  expect(started.status).not.toBe(0);
  expect(started.err).toContain("the provider answered 403 when asked to make a key");
  expect(started.err).toContain("The value before stays in use.");
  const refused = await strongroom("reader", "start", "failing");
  expect(refused.status).not.toBe(0);
  expect(refused.err).toContain("rotation-operator");
});

test("a recipe that is none is not sent", async () => {
  await writeFile(join(folder, "none.json"), '{"type":"ftp"}');
  const missing = await strongroom("admin", "set", "provider", "--recipe", join(folder, "missing.json"));
  expect(missing.err).toContain("cannot be read");
  const none = await strongroom("admin", "set", "provider", "--recipe", join(folder, "none.json"));
  expect(none.err).toContain("not a recipe");
});
