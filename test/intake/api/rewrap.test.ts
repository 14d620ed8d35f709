import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { StoredMaterial } from "../../../services/intake/credentials/records.ts";
import { sealValue } from "../../../services/shared/envelope/sealing.ts";
import { policyHash } from "../../../services/shared/work/destination.ts";
import type { IntegrationMessage, Outcome } from "../../../services/shared/work/messages.ts";
import { integrationWork } from "../../../services/worker/integration.ts";
import {
  credentialBody,
  eventually,
  type IntakeStage,
  type Message,
  startIntakeStage,
  type TestIntake,
} from "../../harness/intake.ts";

let stage: IntakeStage;
let intake: TestIntake;
beforeEach(async () => {
  stage = await startIntakeStage();
  intake = await stage.start();
});
afterEach(() => stage.close());

const token = () => stage.token("admin");
const put = (name = "mail", body: object = credentialBody()) =>
  intake.call("PUT", `/v1/credentials/${name}`, { token: token(), body });
const rewrap = (wait = true, name = "mail", by = token()) =>
  intake.call("POST", `/v1/credentials/${name}/rewrap`, {
    token: by,
    ...(wait && { headers: { prefer: "wait=15" } }),
  });
const credential = async (name = "mail") =>
  (await intake.call("GET", `/v1/credentials/${name}`, { token: token() })).json;
const stored = async (name = "mail") =>
  (await stage.store.get<StoredMaterial>({ partition: `org/${stage.acme}/materials`, sort: name }))?.body
    .material;
const envelope = async (name = "mail") => {
  const material = await stored(name);
  return material && "envelope" in material ? material.envelope : undefined;
};

/** What a real worker makes of a message. */
function perform(message: Message): Promise<Outcome> {
  const work = integrationWork(stage.keys.integration, () => Promise.reject(new Error("no destination")));
  const run = { signal: new AbortController().signal, reached: () => {} };
  return work.perform(message as unknown as IntegrationMessage, run);
}

/** Seals a value to the organization's current key, and puts it. */
async function putSealed(name = "mail", value = "sealed-by-the-client") {
  const { json } = await intake.call("GET", `/v1/sealing-keys?credential=${name}`, { token: token() });
  const { value: _, ...body } = credentialBody();
  const [key] = json.keys;
  const sealed = await sealValue(
    new Uint8Array(Buffer.from(key.publicKey, "base64url")),
    {
      ...{ org: stage.acme, credential: name, version: String(json.nextVersion), purpose: "integration" },
      ...{ policy: policyHash(body.destination as never), key: key.id },
    },
    Buffer.from(value),
  );
  const answer = await put(name, { ...body, sealed, version: json.nextVersion });
  expect(answer.status).toBeLessThan(300);
  return key.id as string;
}

test("a worker seals the value anew: another envelope for the same version, which opens", async () => {
  stage.answer("integration", perform);
  await put();
  const [before, old] = [await credential(), await envelope()];
  const done = await rewrap();
  expect(done).toMatchObject({
    status: 200,
    json: { type: "rewrap", state: "succeeded", credential: "mail", version: 1, attempt: 1 },
  });
  expect(done.headers.get("location")).toBe(`/v1/jobs/${done.json.id}`);
  expect(await envelope()).not.toBe(old);
  const after = await credential();
  const [{ rewrappedAt, ...version }] = after.versions;
  expect(Date.parse(rewrappedAt)).toBeGreaterThan(0);
  expect({ ...after, versions: [version] }).toEqual(before);
  expect((await rewrap()).json).toMatchObject({ state: "succeeded" });
});

test("without waiting, the job is told and followed like others, and it is in no list and not redriven", async () => {
  await put();
  const asked = await rewrap(false);
  expect(asked).toMatchObject({ status: 202, json: { state: "queued" } });
  const at = asked.headers.get("location") ?? "";
  const get = (path: string) => intake.call("GET", path, { token: stage.token() });
  expect((await get(at)).json).toEqual(asked.json);
  stage.answer("integration", perform);
  expect((await get(`${at}/events`)).text).toMatch(/"state":"queued"[\s\S]*"state":"succeeded"/);
  expect((await get(at)).json).toMatchObject({ type: "rewrap", state: "succeeded" });
  expect((await get("/v1/jobs")).json).toEqual({ jobs: [] });
  expect(await intake.call("POST", `${at}/redrive`, { token: token() })).toMatchObject({ status: 409 });
  const globex = stage.token("admin", "org_globex");
  expect(await intake.call("GET", at, { token: globex })).toMatchObject({ status: 404 });
  expect(await stage.store.query(`org/${stage.acme}/queued`)).toEqual([]);
});

test("a disabled credential is sealed anew too, and stays disabled", async () => {
  stage.answer("integration", perform);
  await put();
  await intake.call("POST", "/v1/credentials/mail/disable", { token: token() });
  expect((await rewrap()).json.state).toBe("succeeded");
  expect((await credential()).disabled).toBe(true);
});

test("only an admin may, and only of what is there", async () => {
  await put();
  expect((await rewrap(false, "mail", stage.token("writer"))).status).toBe(403);
  expect((await rewrap(false, "mail", stage.token("admin", "org_globex"))).status).toBe(404);
  expect((await rewrap(false, "other")).status).toBe(404);
});

describe("a result that is not for the stored value any more changes nothing:", () => {
  let result: Outcome;
  let first: Message;
  beforeEach(async () => {
    const seen = stage.answer("integration", () => undefined);
    await put();
    const asked = await rewrap(false);
    await eventually(() => seen.length).toBe(1);
    first = seen[0] as Message;
    expect(first.job).toBe(asked.json.id);
    result = await perform(first);
  });
  const reported = async () => {
    await stage.report("integration", first, result);
    const read = async () => (await intake.call("GET", `/v1/jobs/${first.job}`, { token: token() })).json;
    await eventually(async () => (await read()).state).toBe("failed");
    expect((await read()).failure).toMatchObject({ class: "not_openable" });
  };

  test("a newer version was put", async () => {
    await put();
    const now = await envelope();
    await reported();
    expect(await envelope()).toBe(now);
  });

  test("it was sealed anew by a job that was asked for later", async () => {
    const later = (await rewrap(false)).json;
    const message = { ...first, job: later.id };
    await stage.report("integration", message, await perform(message));
    await eventually(async () => (await credential()).versions[0].rewrappedAt).toBeTypeOf("string");
    const now = await envelope();
    await reported();
    expect(await envelope()).toBe(now);
  });

  test("it was deleted, and put again", async () => {
    await intake.call("DELETE", "/v1/credentials/mail", { token: token() });
    await put();
    const now = await envelope();
    await reported();
    expect(await envelope()).toBe(now);
  });
});

test("what is no envelope for the credential is not stored: in clear, of another one, too long, cut", async () => {
  const seen = stage.answer("integration", () => undefined);
  await put();
  await put("other");
  const [old, other] = [await envelope(), Buffer.from((await envelope("other")) ?? "", "base64")];
  await rewrap(false);
  await eventually(() => seen.length).toBe(1);
  const message = seen[0] as Message;
  const good = (await perform(message)) as { state: "rewrapped"; envelope: string };
  const bytes = Buffer.from(good.envelope, "base64");
  const bad = [Buffer.from("sk-live-canary-0123456789"), other, Buffer.concat([bytes, Buffer.alloc(80_000)])];
  for (const each of [...bad, bytes.subarray(0, 60), Buffer.alloc(0)]) {
    await stage.report("integration", message, { state: "rewrapped", envelope: each.toString("base64") });
  }
  await stage.report("integration", message, { state: "fetched", notModified: true, items: [] });
  await eventually(() => stage.log.filter((line) => line.includes("unfit outcome")).length).toBe(6);
  expect(await envelope()).toBe(old);
  await stage.report("integration", message, good);
  await eventually(() => envelope()).toBe(good.envelope);
});

test("a worker that cannot open it: the job says why, and the value stays", async () => {
  stage.answer("integration", () => ({ state: "failed", failure: "key_unavailable", detail: "no" }));
  await put();
  const old = await envelope();
  expect((await rewrap()).json).toMatchObject({
    state: "failed",
    failure: { class: "key_unavailable", detail: "no", isTransient: true },
  });
  expect(await envelope()).toBe(old);
});

describe("a value that the client sealed", () => {
  const keyIds = async () =>
    (await stage.store.query(`org/${stage.acme}/sealing-keys`)).map(({ sort }) => sort);
  const rotate = () => intake.call("POST", "/v1/sealing-keys/rotate", { token: token() });
  beforeEach(() => void stage.answer("integration", perform));

  test("becomes an envelope, and its older sealing key is dropped at the next rotation", async () => {
    const first = await putSealed();
    const unused = (await rotate()).json.keys[0].id;
    await rotate();
    expect(await keyIds()).toContain(first);
    expect(await keyIds()).not.toContain(unused);
    expect((await rewrap()).json.state).toBe("succeeded");
    expect(await envelope()).toBeTypeOf("string");
    expect((await credential()).versions).toMatchObject([
      { sealedBy: "client", rewrappedAt: expect.any(String) },
    ]);
    const listed = (await intake.call("GET", "/v1/sealing-keys", { token: token() })).json.keys;
    expect(listed).toMatchObject([{ state: "current" }, { id: first, state: "old" }]);
    const { keys } = (await rotate()).json;
    expect(keys).toMatchObject([{ state: "current" }]);
    expect(await keyIds()).toEqual([keys[0].id]);
    expect((await rewrap()).json.state).toBe("succeeded");
  });

  test("is never stored without its key, however it meets rotations", async () => {
    await putSealed("a0");
    const names = Array.from({ length: 6 }, (_, n) => `a${n}`);
    await Promise.all([
      ...names.map((name) => putSealed(name).catch(() => {})), // refused if its key is old by then
      (async () => {
        for (let n = 0; n < 4; n++) await rotate();
      })(),
    ]);
    const keys = await keyIds();
    const materials = await Promise.all(names.map(stored));
    for (const material of materials) {
      if (material && "sealed" in material) expect(keys).toContain(material.sealed.key);
    }
    expect(materials.filter(Boolean).length).toBeGreaterThan(0);
  });
});
