import { generateKeyPairSync } from "node:crypto";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type StoredSecrets, secretsKey } from "../../../services/intake/webhooks/records.ts";
import { openResult } from "../../../services/shared/envelope/sealing.ts";
import { openQueues } from "../../../services/shared/queue/open-queues.ts";
import { createExchange } from "../../../services/worker/outbound/exchange.ts";
import { webhookWork } from "../../../services/worker/webhook.ts";
import { Worker } from "../../../services/worker/worker.ts";
import { eventually, type IntakeStage, startIntakeStage, type TestIntake } from "../../harness/intake.ts";

let stage: IntakeStage;
let intake: TestIntake;
let worker: Worker;
let name = "";
let names = 0;
const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
const privateKey = new Uint8Array(pair.privateKey.export({ type: "pkcs8", format: "der" }));
const sealTo = Buffer.from(pair.publicKey.export({ type: "spki", format: "der" }).subarray(-65)).toString(
  "base64url",
);

beforeAll(async () => {
  stage = await startIntakeStage();
  intake = await stage.start();
  const queues = await openQueues(`local:${stage.folder}/queues/webhook`);
  worker = new Worker({
    ...{ kind: "webhook", work: webhookWork(stage.keys.webhook, createExchange()), ...queues },
    ...{ logger: pino({ level: "silent" }), concurrency: 4, visibilitySeconds: 5, maxJobs: 1_000 },
  });
  worker.start();
});
afterAll(async () => {
  await worker?.stop(0);
  await stage?.close();
});
beforeEach(async () => {
  name = `hook-${++names}`;
  await call("PUT", "", { url: "https://hooks.example.com/in" });
});

const call = (method: string, path: string, body?: unknown, token = stage.token("admin")) =>
  intake.call(method, `/v1/webhooks/${name}${path}`, { token, ...(body !== undefined && { body }) });
const secrets = async () =>
  (await stage.store.get<StoredSecrets>(secretsKey(stage.acme, name)))?.body.secrets ?? [];
/** The secret that the receiver opens. */
async function received(): Promise<string> {
  const { secret } = (await call("GET", "/rotation")).json;
  const opened = await openResult(privateKey, { org: stage.acme, job: secret.run }, secret);
  return Buffer.from(opened).toString("utf8");
}

describe("a webhook's secret that is rotated by a schedule", () => {
  test("is sealed to the receiver: nobody else reads it, and for the grace both sign", async () => {
    const put = await call("PUT", "/rotation", { sealTo, everySeconds: 3600, graceSeconds: 7200 });
    expect(put.status).toBe(201);
    stage.clock.skip(3601);
    await eventually(async () => (await secrets()).length).toBe(2);
    expect(await received()).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    const [newest, before] = await secrets();
    expect(newest).toMatchObject({ version: 2 });
    expect(before?.until).toBeCloseTo(stage.clock.now() / 1000 + 7200, -2);
    const { json } = await call("GET", "/rotation");
    expect(json.runs).toMatchObject([{ secretVersion: 2, by: { schedule: name } }]);
    expect(JSON.stringify(json)).not.toContain("whsec_");
    expect(stage.log.join()).not.toContain(await received());
  });

  test("is made by an operator, who cannot read it", async () => {
    await call("PUT", "/rotation", { sealTo, enabled: false });
    const operator = stage.issuer.token({
      ...{ sub: "olga", [stage.issuer.issuer.orgClaim]: "org_acme" },
      [stage.issuer.issuer.groupsClaim]: ["rotation-operator"],
    });
    const started = await call("POST", "/rotation/start", undefined, operator);
    expect(started).toMatchObject({ status: 200, json: { secretVersion: 2, by: { subject: "olga" } } });
    expect(started.text).not.toContain("whsec_");
    expect((await call("POST", "/rotate", undefined, operator)).status).toBe(403);
    expect(await received()).toMatch(/^whsec_/);
  });

  test("is shown no more once another one was made otherwise", async () => {
    await call("PUT", "/rotation", { sealTo, enabled: false });
    await call("POST", "/rotation/start");
    await call("POST", "/rotate");
    const { json } = await call("GET", "/rotation");
    expect(json.secret).toBeUndefined();
    expect(json.runs).toHaveLength(1);
  });

  test("goes with the webhook, and can be ended alone", async () => {
    await call("PUT", "/rotation", { sealTo, everySeconds: 3600 });
    expect((await call("DELETE", "/rotation")).status).toBe(204);
    expect((await call("GET", "/rotation")).status).toBe(404);
    await call("PUT", "/rotation", { sealTo, everySeconds: 3600 });
    expect((await call("DELETE", "")).status).toBe(204);
    await call("PUT", "", { url: "https://hooks.example.com/in" });
    expect((await call("GET", "/rotation")).status).toBe(404);
    const [, before] = [await secrets(), await secrets()];
    expect(before).toHaveLength(1);
  });

  test("a key that is no point is refused, and so is none", async () => {
    const notOnCurve = Buffer.concat([Buffer.from([4]), Buffer.alloc(64, 1)]).toString("base64url");
    expect((await call("PUT", "/rotation", { sealTo: notOnCurve })).json.code).toBe("invalid_value");
    expect((await call("PUT", "/rotation", {})).status).toBe(400);
  });

  test("keeps the last 50 runs", async () => {
    await call("PUT", "/rotation", { sealTo, enabled: false });
    for (let times = 0; times < 52; times++) await call("POST", "/rotation/start");
    const { runs } = (await call("GET", "/rotation")).json;
    expect(runs).toHaveLength(50);
    expect(runs[0].secretVersion).toBe(53);
  });
});

describe("a webhook's secrets that are sealed anew", () => {
  const rewrap = (headers = { prefer: "wait=20" }) =>
    intake.call("POST", `/v1/webhooks/${name}/rewrap`, { token: stage.token("admin"), headers });

  test("both of a rotation, for the same context", async () => {
    await call("POST", "/rotate");
    const before = await secrets();
    const { status, json } = await rewrap();
    expect({ status, json }).toMatchObject({ status: 200, json: { webhook: name, state: "succeeded" } });
    const after = await secrets();
    expect(after.map(({ version, until }) => ({ version, until }))).toEqual(
      before.map(({ version, until }) => ({ version, until })),
    );
    for (const [index, secret] of after.entries()) expect(secret.envelope).not.toBe(before[index]?.envelope);
    // They open: otherwise this would fail.
    expect((await rewrap()).json.state).toBe("succeeded");
    expect((await call("GET", `/rewrap/${json.id}`)).json).toMatchObject({ state: "succeeded" });
  });

  test("never replaces a secret that was made since", async () => {
    await worker.stop(1_000);
    const { json } = await rewrap({ prefer: "" });
    await call("POST", "/rotate");
    const before = await secrets();
    const message = { job: json.id, org: stage.acme, attempt: 1 };
    await stage.report("webhook", message, { state: "secrets-rewrapped", envelopes: [before[0]?.envelope] });
    await eventually(async () => (await call("GET", `/rewrap/${json.id}`)).json.state).toBe("failed");
    expect(await secrets()).toEqual(before);
  });

  test("takes no envelope for another context from a worker", async () => {
    const { json } = await rewrap({ prefer: "" });
    const before = await secrets();
    await call("PUT", "", { url: "https://hooks.example.com/in" });
    const message = { job: json.id, org: stage.acme, attempt: 1 };
    for (const envelopes of [["AAAA"], [before[0]?.envelope, before[0]?.envelope], []]) {
      await stage.report("webhook", message, { state: "secrets-rewrapped", envelopes });
    }
    await eventually(
      () => stage.log.filter((line) => line.includes(json.id) && line.includes("dropped")).length,
    ).toBe(3);
    expect(await secrets()).toEqual(before);
    expect((await call("GET", `/rewrap/${json.id}`)).json.state).toBe("queued");
  });

  test("a job of another webhook, or of none, is not found", async () => {
    const { json } = await rewrap({ prefer: "" });
    name = "hook-1";
    expect((await call("GET", `/rewrap/${json.id}`)).status).toBe(404);
  });
});
