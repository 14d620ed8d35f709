import { pino } from "pino";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import {
  makeSealingKeyPair,
  openResult,
  sealValue,
  toBase64Url,
} from "../../services/shared/envelope/sealing.ts";
import { policyHash } from "../../services/shared/work/destination.ts";
import { KINDS } from "../../services/shared/work/kinds.ts";
import { brokerWork } from "../../services/worker/broker.ts";
import { feedWork } from "../../services/worker/feed.ts";
import { integrationWork } from "../../services/worker/integration.ts";
import { createDialPostgresql } from "../../services/worker/outbound/dial-postgresql.ts";
import { createExchange } from "../../services/worker/outbound/exchange.ts";
import { webhookWork } from "../../services/worker/webhook.ts";
import { Worker } from "../../services/worker/worker.ts";
import { exceptionFor, headerPolicy, keysOf, originOf } from "../harness/credential-jobs.ts";
import { eventually, type IntakeStage, startIntakeStage, type TestIntake } from "../harness/intake.ts";
import { type Recorder, startRecorder } from "../harness/recorder.ts";
import { type InternalVault, startInternalVault } from "../harness/vault.ts";

/** The intake with its login at a real Vault, the three kinds of worker with theirs, and a destination over TLS. */
let vault: InternalVault;
let destination: Recorder;
let stage: IntakeStage;
let intake: TestIntake;
let workers: Worker[];
beforeAll(async () => {
  vault = await startInternalVault(inject("vaultBinary"));
  destination = await startRecorder(vault);
  stage = await startIntakeStage({
    keys: {
      integration: keysOf(vault, "intake", "integration"),
      webhook: keysOf(vault, "intake", "webhook"),
      broker: keysOf(vault, "intake", "broker"),
    },
  });
  const ports = new Set([443, Number(new URL(destination.address).port)]);
  intake = await stage.start({ destinationPorts: ports });
  const exception = exceptionFor(destination, vault.ca);
  const exchange = createExchange({ privateDestinations: new Map([[exception.origin, exception]]) });
  const works = {
    integration: integrationWork(keysOf(vault, "worker-integration", "integration"), exchange),
    webhook: webhookWork(keysOf(vault, "worker-webhook", "webhook"), exchange),
    feed: feedWork(exchange),
    broker: brokerWork(keysOf(vault, "worker-broker", "broker"), exchange, createDialPostgresql({})),
  };
  workers = KINDS.map((kind) => {
    const { jobs, results } = stage.queues[kind];
    const logger = pino({ level: "silent" });
    const limits = { concurrency: 8, visibilitySeconds: 30, maxJobs: 1_000 };
    // One type for four kinds of messages, as a worker's start has it.
    return new Worker({
      kind,
      work: works[kind] as typeof works.feed,
      jobs,
      results,
      logger,
      ...limits,
    } as never);
  });
  for (const worker of workers) worker.start();
});
afterAll(async () => {
  await Promise.all((workers ?? []).map((worker) => worker.stop(1_000)));
  await stage?.close();
  await destination?.close();
  await vault?.stop();
});

const call = (method: string, path: string, body?: object, headers: Record<string, string> = {}) =>
  intake.call(method, path, { token: stage.token("admin"), headers, ...(body && { body }) });
const policy = () => headerPolicy(originOf(destination));
const use = (credential: string, changes: object = {}) =>
  call(
    "POST",
    "/v1/jobs",
    { credential, request: { method: "POST", path: "/v1/echo", body: { text: "hi" } }, ...changes },
    { prefer: "wait=20" },
  );
/** Answers with what it got, as a destination does that must not be trusted with it. */
const echo = () => {
  destination.answer = ({ headers, body }, response) => response.end(`${headers.authorization} ${body}`);
};

test("a credential put in clear reaches its destination once, and its echo is removed from the answer", async () => {
  echo();
  await call("PUT", "/v1/credentials/clear", { value: "sk-live-canary-in-clear", destination: policy() });
  const done = await use("clear");
  expect(done.json).toMatchObject({ state: "succeeded", status: 200 });
  expect(done.text).not.toContain("canary");
  expect(done.json.result.answer.scrubbed).toBeGreaterThan(0);
  const got = destination.requests.filter(
    ({ headers }) => headers.authorization === "Bearer sk-live-canary-in-clear",
  );
  expect(got).toMatchObject([
    { method: "POST", url: "/v1/echo", body: "hi", headers: { "idempotency-key": done.json.id } },
  ]);
});

test("a credential that the client sealed is used too, also after the sealing key was rotated", async () => {
  echo();
  const { json } = await call("GET", "/v1/sealing-keys?credential=sealed");
  const [key] = json.keys;
  const context = {
    ...{
      org: json.org,
      credential: "sealed",
      version: String(json.nextVersion),
      purpose: "integration" as const,
    },
    ...{ policy: policyHash(policy()), key: key.id },
  };
  const publicKey = new Uint8Array(Buffer.from(key.publicKey, "base64url"));
  const sealed = await sealValue(publicKey, context, Buffer.from("sk-live-canary-sealed"));
  const body = { sealed, version: json.nextVersion, destination: policy() };
  expect((await call("PUT", "/v1/credentials/sealed", body)).status).toBe(201);
  expect((await use("sealed")).json).toMatchObject({ state: "succeeded" });
  expect((await call("POST", "/v1/sealing-keys/rotate")).json.keys).toHaveLength(2);
  expect((await use("sealed")).json).toMatchObject({ state: "succeeded" });
  expect(destination.requests.at(-1)?.headers.authorization).toBe("Bearer sk-live-canary-sealed");
});

test("a value that was sealed for another destination, name or version does not open", async () => {
  const { json } = await call("GET", "/v1/sealing-keys?credential=wrong");
  const [key] = json.keys;
  const good = {
    ...{ org: json.org, credential: "wrong", version: "1", purpose: "integration" as const },
    ...{ policy: policyHash(policy()), key: key.id },
  };
  const publicKey = new Uint8Array(Buffer.from(key.publicKey, "base64url"));
  destination.clear();
  for (const change of [{ policy: "-" }, { credential: "other" }, { version: "7" }, { org: stage.globex }]) {
    const next = (await call("GET", "/v1/sealing-keys?credential=wrong")).json.nextVersion;
    const sealed = await sealValue(
      publicKey,
      { ...good, version: String(next), ...change },
      Buffer.from("sk-live-x"),
    );
    const body = { sealed, version: next, destination: policy() };
    expect((await call("PUT", "/v1/credentials/wrong", body)).status).toBeLessThan(300);
    expect((await use("wrong")).json).toMatchObject({ state: "failed", failure: { class: "not_openable" } });
  }
  expect(destination.requests).toEqual([]);
});

test("an answer sealed to the caller opens with the caller's key alone", async () => {
  echo();
  const pair = await makeSealingKeyPair();
  const done = await use("clear", { sealResultTo: toBase64Url(pair.publicKey) });
  const plaintext = await openResult(
    pair.privateKey,
    { org: stage.acme, job: done.json.id },
    done.json.result.sealed,
  );
  const answer = JSON.parse(Buffer.from(plaintext).toString());
  expect(answer).toMatchObject({ state: "answered", status: 200 });
  expect(Buffer.from(answer.body, "base64").toString()).not.toContain("canary");
});

test("an envelope moved to another credential in the store opens nothing", async () => {
  await call("PUT", "/v1/credentials/thief", { value: "sk-of-the-thief", destination: policy() });
  const partition = `org/${stage.acme}/materials`;
  const stolen = await stage.store.get<{ version: number }>({ partition, sort: "clear" });
  await stage.store.write([{ partition, sort: "thief", body: { ...stolen?.body, version: 1 } }]);
  destination.clear();
  expect((await use("thief")).json).toMatchObject({ state: "failed", failure: { class: "not_openable" } });
  const record = { partition: `org/${stage.acme}/credentials`, sort: "clear" };
  const clear = await stage.store.get<{ destination: object }>(record);
  const changed = { ...clear?.body.destination, paths: ["/**"] };
  await stage.store.write([{ ...record, body: { ...clear?.body, destination: changed } }]);
  expect((await use("clear")).json).toMatchObject({ state: "failed", failure: { class: "not_openable" } });
  await stage.store.write([{ ...record, body: clear?.body }]);
  expect(destination.requests).toEqual([]);
});

test("a webhook's messages verify by Standard Webhooks, by both secrets after a rotation", async () => {
  destination.answer = (_, response) => response.writeHead(204).end();
  const made = await call("PUT", "/v1/webhooks/orders", { url: `${originOf(destination)}/hook?a=1` });
  const rotated = await call("POST", "/v1/webhooks/orders/rotate");
  destination.clear();
  const sent = await call("POST", "/v1/webhooks/orders/send", { payload: { order: 1, umlaut: "ü" } });
  const path = `/v1/webhooks/orders/deliveries/${sent.json.id}`;
  await eventually(async () => (await call("GET", path)).json).toMatchObject({
    ...{ state: "succeeded", attempts: [{ status: 204 }] },
  });
  const [got] = destination.requests;
  expect(got).toMatchObject({ method: "POST", url: "/hook?a=1", body: '{"order":1,"umlaut":"ü"}' });
  for (const { secret } of [made.json, rotated.json]) {
    expect(new Webhook(secret).verify(got?.body ?? "", got?.headers as Record<string, string>)).toEqual({
      ...{ order: 1, umlaut: "ü" },
    });
  }
});

test("a feed's items are fetched and listed", async () => {
  destination.answer = (_, response) => {
    const items = [1, 2].map((n) => `<item><guid>g-${n}</guid><title>Item ${n}</title></item>`);
    const rss = `<rss version="2.0"><channel><title>News</title>${items.join("")}</channel></rss>`;
    response.setHeader("content-type", "application/rss+xml").setHeader("etag", '"x"').end(rss);
  };
  await call("PUT", "/v1/feeds/news", { url: `${originOf(destination)}/feed.xml`, everySeconds: 300 });
  await eventually(async () => (await call("GET", "/v1/feeds/news")).json).toMatchObject({
    items: 2,
    title: "News",
  });
  expect(
    (await call("GET", "/v1/feeds/news/items")).json.items.map(({ title }: { title: string }) => title),
  ).toEqual([...["Item 2", "Item 1"]]);
});

test("nothing of the credentials is in what the intake keeps or logs", async () => {
  for (const line of stage.log) expect(line).not.toContain("canary");
});
