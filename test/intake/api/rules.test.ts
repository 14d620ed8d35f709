import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { brokerPolicyHash } from "../../../services/shared/broker/policy.ts";
import { open, seal } from "../../../services/shared/envelope/envelope.ts";
import { makeSealingKeyPair, sealValue, toBase64Url } from "../../../services/shared/envelope/sealing.ts";
import type { Outcome } from "../../../services/shared/work/messages.ts";
import { credentialBody, type Message } from "../../harness/intake.ts";
import { type BrokerStage, brokerBody, brokerPolicy, startBrokerStage } from "../broker/stage.ts";

let stage: BrokerStage;
let admin: string;
/** What the stand-in for the broker's queue reports of a rewrap. */
let resealed: string | undefined;
let seen: Message[];
beforeAll(async () => {
  stage = await startBrokerStage();
  admin = stage.token("admin");
  const makeKey = async (): Promise<Outcome> => ({
    ...{ state: "key-made", publicKey: toBase64Url((await makeSealingKeyPair()).publicKey) },
    privateKey: Buffer.from("wrapped by the broker").toString("base64"),
  });
  stage.answer("integration", ({ type }) => (type === "make-sealing-key" ? makeKey() : undefined));
  seen = stage.answer("broker", ({ type }) => {
    if (type === "make-sealing-key") return makeKey();
    return resealed === undefined ? undefined : { state: "rewrapped", envelope: resealed };
  });
});
afterAll(() => stage.close());

const path = (name: string, below = "") => `/v1/credentials/${name}${below}`;
const put = (name: string, body: object, headers: Record<string, string> = {}) =>
  stage.intake.call("PUT", path(name), { token: admin, body, headers });
const get = (name: string) => stage.intake.call("GET", path(name), { token: stage.token() });

async function opened(name: string, version: number): Promise<string> {
  const stored = await stage.store.get<{ material: { envelope: string } }>({
    ...{ partition: `org/${stage.acme}/materials`, sort: name },
  });
  const { json } = await get(name);
  const context = {
    ...{ org: stage.acme, credential: name, version: String(version), purpose: "broker" as const },
    policy: brokerPolicyHash(json.destination),
  };
  const envelope = Buffer.from(stored?.body.material.envelope ?? "", "base64");
  return Buffer.from(await open(stage.keys.broker, context, envelope)).toString();
}

test("put, read, put again, disable, enable, delete", async () => {
  expect((await put("life", brokerBody())).json).toMatchObject({ version: 1, purpose: "broker" });
  const second = await put("life", brokerBody({ value: "another-value" }), { "if-match": '"1"' });
  expect(second).toMatchObject({ status: 200, json: { version: 2, destination: brokerPolicy() } });
  expect(second.json).not.toHaveProperty("level");
  expect((await get("life")).json).toEqual(second.json);
  const list = await stage.intake.call("GET", "/v1/credentials", { token: admin });
  expect(list.json.credentials).toMatchObject([{ name: "life", purpose: "broker" }]);
  expect(await opened("life", 2)).toBe("another-value");
  const disabled = await stage.intake.call("POST", path("life", "/disable"), { token: admin });
  expect(disabled.json).toMatchObject({ disabled: true, purpose: "broker" });
  expect((await stage.intake.call("DELETE", path("life"), { token: admin })).status).toBe(204);
  expect((await get("life")).status).toBe(404);
});

test("a name keeps its purpose until it is deleted", async () => {
  await put("kept", brokerBody());
  expect(await put("kept", credentialBody())).toMatchObject({ status: 409, json: { code: "conflict" } });
  await put("job", credentialBody());
  expect(await put("job", brokerBody())).toMatchObject({ status: 409 });
  await stage.intake.call("DELETE", path("kept"), { token: admin });
  expect((await put("kept", credentialBody())).json).toMatchObject({ version: 2, purpose: "integration" });
});

test.each([
  ["a value that no header carries", { value: "12345678\n" }, 422, "invalid_value", "/body/value"],
  ["a level, which is for jobs", { level: "admin" }, 400, "invalid_request", "/body"],
  [
    "a destination of jobs",
    { destination: credentialBody().destination },
    400,
    "invalid_request",
    "/body/destination",
  ],
  [
    "a rule's unknown method",
    { destination: brokerPolicy({ rules: [{ ...brokerPolicy().rules[0], methods: ["TRACE"] } as never] }) },
    ...([400, "invalid_request", "/body/destination/rules/0/methods/0"] as const),
  ],
  [
    "a rule without who",
    { destination: brokerPolicy({ rules: [{ id: "a", methods: ["GET"], paths: ["/"] } as never] }) },
    ...([400, "invalid_request", "/body/destination/rules/0"] as const),
  ],
  [
    "a plain origin",
    { destination: brokerPolicy({ origin: "http://api.example.com" }) },
    ...([422, "invalid_destination", "/body/destination/origin"] as const),
  ],
] as const)("stores nothing with %s", async (_, changes, status, code, pointer) => {
  const answer = await put("bad", brokerBody(changes));
  expect(answer).toMatchObject({ status, json: { code } });
  expect(answer.json.errors.map((error: { pointer: string }) => error.pointer)).toContain(pointer);
  expect(answer.text).not.toContain("canary");
  expect((await get("bad")).status).toBe(404);
});

test("a request for jobs is told what is wrong with it as before, and nothing of the broker", async () => {
  const { destination } = credentialBody();
  const answer = await put("bad", credentialBody({ destination: { ...destination, methods: [] } }));
  expect(answer.json.errors).toMatchObject([{ pointer: "/body/destination/methods" }]);
});

test("sealed by the client to keys of its own purpose, which the broker's kind makes", async () => {
  const keys = (purpose?: string) =>
    stage.intake.call("GET", `/v1/sealing-keys?credential=sealed${purpose ? `&purpose=${purpose}` : ""}`, {
      token: admin,
    });
  const [ours, jobs] = [(await keys("broker")).json, (await keys()).json];
  expect(ours.keys[0].id).not.toBe(jobs.keys[0].id);
  expect((await keys("integration")).json).toEqual(jobs);
  const destination = brokerPolicy();
  const sealTo = async (key: { id: string; publicKey: string }) => ({
    ...{ purpose: "broker", destination, version: ours.nextVersion },
    sealed: await sealValue(
      new Uint8Array(Buffer.from(key.publicKey, "base64url")),
      {
        ...{ org: ours.org, credential: "sealed", version: String(ours.nextVersion), purpose: "broker" },
        ...{ policy: brokerPolicyHash(destination), key: key.id },
      },
      new TextEncoder().encode("sealed-by-the-client"),
    ),
  });
  expect(await put("sealed", await sealTo(jobs.keys[0]))).toMatchObject({
    json: { code: "sealed_value_refused" },
  });
  const stored = await put("sealed", await sealTo(ours.keys[0]));
  expect(stored).toMatchObject({ status: 201, json: { versions: [{ sealedBy: "client" }] } });
  stage.frames.serve = ({ failed }) => failed("not_openable");
  await stage.send("GET", "/v1/use/sealed/v1/me");
  expect(stage.frames.calls.at(-1)?.credential.material).toMatchObject({
    ...{ sealed: { key: ours.keys[0].id } },
    privateKey: Buffer.from("wrapped by the broker").toString("base64"),
  });
  // A rotation keeps the key that is needed, of this purpose.
  const rotated = await stage.intake.call("POST", "/v1/sealing-keys/rotate?purpose=broker", { token: admin });
  expect(rotated.json.keys.map(({ state }: { state: string }) => state)).toEqual(["current", "old"]);
  expect((await keys()).json.keys.length).toBe(1);
});

test("sealed anew by the broker's kind", async () => {
  await put("again", brokerBody());
  const context = {
    ...{ org: stage.acme, credential: "again", version: "1", purpose: "broker" as const },
    policy: brokerPolicyHash(brokerPolicy()),
  };
  const envelope = await seal(stage.keys.broker, context, new TextEncoder().encode("the same"));
  resealed = Buffer.from(envelope).toString("base64");
  const asked = await stage.intake.call("POST", path("again", "/rewrap"), {
    ...{ token: admin, headers: { prefer: "wait=20" } },
  });
  expect(asked.json).toMatchObject({ state: "succeeded", credential: "again" });
  expect(seen.at(-1)).toMatchObject({ type: "rewrap", policy: brokerPolicy(), version: 1 });
  expect(await stage.intake.call("GET", `/v1/jobs/${asked.json.id}`, { token: admin })).toMatchObject({
    ...{ status: 200, json: { type: "rewrap", state: "succeeded" } },
  });
  expect(await opened("again", 1)).toBe("the same");
});

describe("rules", () => {
  const rules = path("ruled", "/rules");
  const [read] = brokerPolicy().rules;
  const changed = [{ ...read, paths: ["/v2/*"] }];
  const ask = (method: string, below: string, body: object, token = admin, headers = {}) =>
    stage.intake.call(method, `${rules}${below}`, { token, body, headers });
  /** Seals as the broker would. */
  const reseal = async (version: number) => {
    const policy = { ...brokerPolicy(), rules: changed } as ReturnType<typeof brokerPolicy>;
    const context = {
      ...{ org: stage.acme, credential: "ruled", version: String(version), purpose: "broker" as const },
      policy: brokerPolicyHash(policy),
    };
    return Buffer.from(await seal(stage.keys.broker, context, new TextEncoder().encode("the same"))).toString(
      "base64",
    );
  };
  beforeAll(() => stage.put("ruled"));

  test("are shown, and tried without a request being sent", async () => {
    const shown = await stage.intake.call("GET", rules, { token: stage.token() });
    expect(shown.json).toEqual({ rules: brokerPolicy().rules });
    expect(shown.headers.get("etag")).toBe('"1"');
    const check = async (body: object, token?: string) => (await ask("POST", "/check", body, token)).json;
    const reader = stage.token();
    expect(await check({ method: "GET", path: "/v1/a?page=1" }, reader)).toEqual({
      ...{ allowed: true, rule: "read", pattern: "/v1/**" },
    });
    expect(await check({ method: "GET", path: "/v1/a?x=1" }, reader)).toMatchObject({
      allowed: false,
      part: "query",
    });
    expect(await check({ method: "POST", path: "/v1/a" }, reader)).toMatchObject({
      allowed: false,
      part: "method",
    });
    const typed = { method: "POST", path: "/v1/a", contentType: "text/plain" };
    expect(await check(typed)).toMatchObject({ allowed: false, part: "content_type" });
    const danger = { method: "DELETE", path: "/admin/x" };
    expect(await check(danger)).toMatchObject({ allowed: false, part: "path" });
    const root = { ...danger, as: { level: "admin", subject: "root" } };
    expect(await check(root)).toMatchObject({ allowed: true, rule: "danger" });
    expect(await check(root, stage.token("writer"))).toMatchObject({ code: "forbidden" });
    expect(await check({ method: "GET", path: "/v1/../a" })).toMatchObject({ code: "invalid_path" });
    expect(await check({ method: "GET", path: "/v1/a", at: "never" })).toMatchObject({
      code: "invalid_request",
    });
    expect(stage.frames.calls.at(-1)?.credential.name).not.toBe("ruled");
  });

  test("that are none store nothing, and the broker is not asked", async () => {
    const asked: string[] = [];
    stage.frames.operate = (operation) => {
      asked.push(operation);
      return { status: 500, json: {} };
    };
    const twice = await ask("PUT", "", { rules: [read, read] });
    expect(twice).toMatchObject({ status: 422, json: { errors: [{ pointer: "/body/rules/1/id" }] } });
    expect((await ask("PUT", "", { rules: changed }, stage.token("writer"))).status).toBe(403);
    expect((await ask("PUT", "", { rules: changed }, admin, { "if-match": '"7"' })).status).toBe(412);
    expect(asked).toEqual([]);
  });

  test.each([
    [
      "refuses",
      403,
      { failure: "not_allowed", detail: "No.", isSent: false, part: "grant" },
      "use_not_allowed",
    ],
    ["answers nonsense", 200, { version: 2, envelope: "AAAA" }, "internal"],
    ["answers nothing", 500, {}, "broker_unavailable"],
  ])("stay as they are if the broker %s", async (_, status, json, code) => {
    stage.frames.operate = () => ({ status, json });
    expect((await ask("PUT", "", { rules: changed })).json).toMatchObject({ code });
    expect((await get("ruled")).json).toMatchObject({ version: 1, destination: brokerPolicy() });
  });

  test("change with a new version, what the broker sealed, and a receipt", async () => {
    const calls: object[] = [];
    const envelope = await reseal(2);
    stage.frames.operate = (operation, body) => {
      calls.push({ operation, ...body });
      return { status: 200, json: { version: 2, envelope } };
    };
    const answer = await ask("PUT", "", { rules: changed });
    expect(answer).toMatchObject({ status: 200, json: { version: 2, destination: { rules: changed } } });
    expect(calls).toMatchObject([
      { operation: "change-policy", org: stage.acme, credential: { version: 1 }, policy: { rules: changed } },
    ]);
    expect(await opened("ruled", 2)).toBe("the same");
    const entries = await stage.receipts(answer.headers.get("x-request-id") ?? "");
    expect(entries).toMatchObject([
      { type: "intent", action: "change-rules", version: 2 },
      { type: "completion", outcome: "answered" },
    ]);
  });
});
