import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, describe, expect, inject, test, vi } from "vitest";
import type { CreateUse, UseWithResult } from "../../services/shared/api/uses.ts";
import type { Delivery, WebhookWithSecret } from "../../services/shared/api/webhooks.ts";
import { makeSealingKeyPair } from "../../services/shared/envelope/sealing.ts";
import { type Form, formsIn, formsOf, newCanary } from "../harness/canary.ts";
import { headerPolicy } from "../harness/credential-jobs.ts";
import { type CredentialPlatform, startCredentialPlatform } from "../harness/credentials.ts";
import { heapSnapshot, snapshotFlags } from "../harness/heap.ts";
import { INDISCREET_PATHS, indiscreet } from "../harness/indiscreet.ts";
import { Part } from "../harness/part.ts";
import { sealByClient } from "../harness/takeover.ts";
import { readStore } from "../harness/thief.ts";

/*
 * Values that stand nowhere else go through a hundred jobs of all sorts. Afterwards they must be at the destination, once
 * in each request, and nowhere else: in no file, log, queue, argument, environment or heap.
 */

const WITHIN = { timeout: 20_000, interval: 50 };

let platform: CredentialPlatform;
let snapshots: string;
const platformValue = newCanary();
const clientValue = newCanary();
let signingSecret = "";
let forms: Form[] = [];
const results: UseWithResult[] = [];
const deliveries: Delivery[] = [];

beforeAll(async () => {
  platform = await startCredentialPlatform(inject("vaultBinary"), { workers: [] });
  snapshots = await mkdtemp(join(tmpdir(), "strongroom-snapshots-"));
  platform.destination.answer = indiscreet(platform.destination);
  platform.intake.command.args.unshift(...snapshotFlags(snapshots));
  await platform.intake.restart("SIGTERM");
  const nodeFlags = [
    ...snapshotFlags(snapshots),
    `--allow-fs-write=${snapshots}`,
    `--allow-fs-read=${snapshots}`,
  ];
  await platform.startWorker("integration", { nodeFlags });
  await platform.startWorker("webhook", { nodeFlags });
  await platform.startWorker("feed", { nodeFlags });
  await platform.putCredential("by-platform", platformValue);
  const destination = headerPolicy(platform.destination.origin);
  await sealByClient(platform, "org_acme", "by-client", clientValue, destination);
  await putWebhook();
  forms = [platformValue, clientValue, signingSecret.replace("whsec_", "")].flatMap(formsOf);
  forms.push(["key of the signature", Buffer.from(signingSecret.replace("whsec_", ""), "base64")]);
  await misspeak();
  await hundredJobs();
});
afterAll(async () => {
  await platform?.stop();
  if (snapshots) await rm(snapshots, { recursive: true, force: true });
});

async function putWebhook(): Promise<void> {
  const url = `${platform.destination.origin}/v1/hook`;
  const { status, body, text } = await platform.api<WebhookWithSecret>(
    "PUT",
    "/v1/webhooks/orders",
    undefined,
    {
      body: { url },
    },
  );
  if (status !== 201 || !body.secret) throw new Error(text);
  signingSecret = body.secret;
}

/** Requests that are refused must not leave their secrets behind either. */
async function misspeak(): Promise<void> {
  const value = platformValue;
  const destination = headerPolicy(platform.destination.origin);
  const put = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    platform.api("PUT", path, undefined, { body, headers });
  const encoded = encodeURIComponent(value);
  const statuses = [
    await put("/v1/credentials/UPPER", { value, destination }),
    await put("/v1/credentials/a", { value, destination, more: value }),
    await put("/v1/credentials/a", { value: `${value}\n`, destination }),
    await put("/v1/credentials/a", { value: value.repeat(2_000), destination }),
    await put("/v1/credentials/a", { value, destination: { ...destination, origin: `https://${value}` } }),
    await put("/v1/credentials/a", { value, destination: { ...destination, paths: [`/${value}`] } }),
    await put(`/v1/credentials/${encoded}`, { value, destination }),
    await put(`/v1/credentials/a?value=${encoded}`, { values: value }),
    await put("/v1/credentials/a", { value, destination }, { "if-match": value }),
    await put("/v1/credentials/a", { value, destination }, { authorization: `Bearer ${value}` }),
    await platform.api("POST", "/v1/jobs", undefined, {
      body: { credential: value, request: { method: "GET", path: "/v1/a" } },
    }),
    await platform.api("GET", `/v1/jobs/${encoded}`),
    await platform.api("GET", `/v1/none/${encoded}`),
    await platform.api("GET", "/v1/credentials", value),
  ];
  for (const { status, text } of statuses) {
    if (status < 400 || status > 499) throw new Error(`a wrong request was answered ${status} ${text}`);
    if (formsIn(text, forms).length > 0)
      throw new Error(`the answer to a wrong request holds the value: ${text}`);
  }
}

async function hundredJobs(): Promise<void> {
  const key = await makeSealingKeyPair();
  const sealResultTo = Buffer.from(key.publicKey).toString("base64url");
  const uses: CreateUse[] = ["by-platform", "by-client"].flatMap((credential) => [
    ...INDISCREET_PATHS.flatMap((path) => [path, path]).map((path) => ({
      ...{ credential, request: { method: "GET" as const, path: `/v1/${path}` } },
    })),
    { credential, request: { method: "POST", path: "/v1/ok/9", body: { text: "a note" } }, sealResultTo },
    { credential, request: { method: "POST", path: "/v1/echo/clear" }, sealResultTo },
  ]);
  await deadLetters();
  for (let from = 0; from < uses.length; from += 8) {
    results.push(...(await Promise.all(uses.slice(from, from + 8).map((use) => platform.runJob(use)))));
  }
  for (let index = 0; index < 8; index++) {
    const sent = await platform.api<Delivery>("POST", "/v1/webhooks/orders/send", undefined, {
      body: { payload: { order: index } },
    });
    if (sent.status !== 202) throw new Error(sent.text);
    deliveries.push(sent.body);
  }
  await vi.waitFor(() => expect(hooks().length).toBe(8), WITHIN);
  // The last thing that a worker does: what engines keep of their last use would be of a value.
  results.push(
    await platform.runJob({ credential: "by-platform", request: { method: "GET", path: "/v1/echo/header" } }),
  );
}

/** Jobs that no worker can handle: stored values in others' places. */
async function deadLetters(): Promise<void> {
  const items = readStore(platform.storeFile);
  const envelope = items.find(({ sort, body }) => sort === "by-platform" && "material" in body)?.body
    .material;
  const org = platform.orgs.org_acme ?? "";
  const message = (job: string) =>
    JSON.stringify({
      ...{ type: "request", job, org, attempt: 1, notAfter: Math.floor(Date.now() / 1000) + 60 },
      ...{ credential: "other", version: 1, policy: headerPolicy(platform.destination.origin) },
      ...{ material: envelope, request: (envelope as { envelope: string }).envelope },
    });
  await platform.inject(
    "integration",
    "jobs",
    org,
    message(`j${"a".repeat(26)}`),
    message(`j${"b".repeat(26)}`),
    "{",
  );
  await vi.waitFor(async () => {
    const log = (await platform.workers[0]?.log()) ?? "";
    expect(log.match(/not_openable/g)?.length).toBe(2);
  }, WITHIN);
}

const hooks = () => platform.destination.effects.filter(({ url }) => url === "/v1/hook");

test("a hundred jobs ended in all ways that there are", () => {
  const ends = results.map(({ state, failure }) => failure?.class ?? state);
  expect(results.length + deliveries.length + 3).toBeGreaterThanOrEqual(99);
  expect(new Set(ends)).toEqual(new Set(["succeeded", "answer_too_large", "answer_not_scrubbable"]));
  expect(results.some(({ result }) => result && "sealed" in result)).toBe(true);
});

test("the value is once in each request that was delivered, in the header that its policy names", () => {
  const sent = platform.destination.effects.filter(({ url }) => url !== "/v1/hook");
  // One each, and one more for each whose first connection broke.
  expect(sent.length).toBe(results.length + results.filter(({ path }) => path === "/v1/flaky/1").length);
  for (const { url, method, body, headers } of sent) {
    const { authorization, ...others } = headers;
    expect([`Bearer ${platformValue}`, `Bearer ${clientValue}`]).toContain(authorization);
    expect(formsIn(JSON.stringify([url, method, others, String(body)]), forms)).toEqual([]);
  }
});

test("a webhook's secret signs each delivery, and is in none", () => {
  for (const { headers, body } of hooks()) {
    new Webhook(signingSecret).verify(String(body), headers as Record<string, string>);
    expect(formsIn(JSON.stringify([headers, String(body)]), forms)).toEqual([]);
  }
});

test("no answer of the API has a value", async () => {
  expect(formsIn(JSON.stringify([results, deliveries]), forms)).toEqual([]);
  for (const path of [
    "credentials",
    "credentials/by-platform",
    "jobs",
    "webhooks",
    "webhooks/orders/deliveries",
  ]) {
    const { status, text } = await platform.api("GET", `/v1/${path}`);
    expect(status, path).toBe(200);
    expect(formsIn(text, forms), path).toEqual([]);
  }
});

describe("nothing that stays has a value", () => {
  test("no file: stores, logs of databases, queues, dead letters, logs, Vault's storage and its audit log", async () => {
    const found: Record<string, string[]> = {};
    const names: string[] = [];
    for (const folder of [platform.folder, platform.internal.dir]) {
      const entries = await readdir(folder, { recursive: true, withFileTypes: true });
      for (const { parentPath, name } of entries.filter((entry) => entry.isFile())) {
        const path = join(parentPath, name);
        names.push(name);
        const hits = formsIn(await readFile(path), forms);
        if (hits.length > 0) found[path] = hits;
      }
    }
    expect(found).toEqual({});
    const needed = [
      "store.sqlite",
      "store.sqlite-wal",
      "jobs.sqlite",
      "results.sqlite",
      "intake.log",
      "audit.log",
    ];
    expect(names).toEqual(expect.arrayContaining(needed));
    expect(names.filter((name) => /^(core|.*\.core|.*\.heapsnapshot|report\..*)$/.test(name))).toEqual([]);
  });

  test("no argument and no environment of any process of this machine", async () => {
    const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
    expect(pids).toContain(String(platform.intake.pid));
    for (const pid of pids) {
      for (const name of ["cmdline", "environ"]) {
        const content = await readFile(`/proc/${pid}/${name}`).catch(() => Buffer.alloc(0));
        expect(formsIn(content, forms), `${name} of ${pid}`).toEqual([]);
      }
    }
  });

  test("no heap after a collection: the intake's and each worker's", { timeout: 300_000 }, async () => {
    for (const part of [platform.intake, ...platform.workers]) {
      const content = await heapSnapshot(part, snapshots);
      expect(content.includes("STRONGROOM_LOG_LEVEL"), part.name).toBe(true);
      expect(formsIn(content, forms), part.name).toEqual([]);
    }
  });

  test("a heap that holds a value shows it", async () => {
    const held = newCanary();
    const holder = new Part({
      ...{ name: "holder", folder: snapshots, logFile: join(snapshots, "holder.log"), readyLine: "holding" },
      command: {
        args: [...snapshotFlags(snapshots), "-e", HOLDER],
        env: { HELD: held },
      },
    });
    try {
      await holder.start();
      expect(formsIn(await heapSnapshot(holder, snapshots), formsOf(held))).toContain("clear");
    } finally {
      await holder.kill();
    }
  });
});

/** A program that keeps a value in a closure, behind what it is sent with. */
const HOLDER = `
  const kept = JSON.parse(JSON.stringify({ header: "Bearer " + process.env.HELD }));
  delete process.env.HELD;
  setInterval(() => kept.header, 1000);
  console.log(JSON.stringify({ msg: "holding" }));
`;
