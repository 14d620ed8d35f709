import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { writeBrokerCertificates } from "../../services/cli/platform/broker-connection.ts";
import { StateFolder } from "../../services/cli/platform/state-folder.ts";
import { readLines } from "../../services/shared/receipts/export.ts";
import { type CredentialPlatform, startCredentialPlatform } from "../harness/credentials.ts";
import type { Part } from "../harness/part.ts";
import { startTlsServer, type TokenEndpoint } from "../harness/token-endpoint.ts";
import {
  type AnswerKind,
  BrokerCallers,
  CountingDestination,
  digestOf,
  type Got,
  loadPolicy,
} from "./broker-load.ts";
import { type Pair, pairsOf } from "./settled-receipts.ts";

const destination = new CountingDestination();
let provider: TokenEndpoint;
let platform: CredentialPlatform;
let callers: BrokerCallers;
let broker: Part;
beforeAll(async () => {
  provider = await startTlsServer("provider.example.test", () => destination.handler);
  platform = await startCredentialPlatform(inject("vaultBinary"), {
    ...{ claims: ["org_acme"], workers: ["broker"], exceptions: [provider.exception] },
  });
  [broker] = platform.workers as [Part];
  callers = new BrokerCallers(platform.address, (claim) => platform.token(claim));
  const { status, text } = await platform.api("PUT", "/v1/credentials/provider", undefined, {
    body: { purpose: "broker", value: "sk_live_chaos_1234", destination: loadPolicy(provider.origin) },
  });
  if (status !== 201) throw new Error(text);
});
afterAll(async () => {
  await callers?.close();
  await platform?.stop();
  await provider?.close();
});
beforeEach(() => {
  destination.reached.length = 0;
});

/** Sends one call with a body, whose receipt is found by its digest. */
async function send(kind: AnswerKind = "whole", signal?: AbortSignal): Promise<{ id: string; got: Got }> {
  const id = randomUUID();
  return { id, got: await callers.send({ id, claim: "org_acme", sort: "short", kind }, signal) };
}

const answered = (got: Got) => ({ from: got.from, status: got.status, code: got.code });
const ANSWERED = { from: "destination", status: 200, code: undefined };
const refusedBy = (code: string) => ({ from: "platform", status: 503, code });

async function pairs(): Promise<Pair[]> {
  const response = await fetch(`${platform.address}/v1/receipts/export`, {
    headers: { authorization: `Bearer ${platform.token()}` },
  });
  if (!response.ok || !response.body) throw new Error(`the export was refused: ${response.status}`);
  return pairsOf(await Array.fromAsync(readLines(response.body)));
}

/** What the receipts say of a call once nothing is open: undefined if it has none. */
async function outcomeOf(id: string): Promise<string | undefined> {
  await expect.poll(async () => (await pairs()).filter(({ completion }) => !completion)).toEqual([]);
  const found = (await pairs()).filter(({ intent }) => intent.bodyDigest === digestOf(id));
  expect(found.length).toBeLessThanOrEqual(1);
  return found[0]?.completion?.outcome;
}

/** One call goes through as if nothing had been, once all is well again. */
async function goesThrough(): Promise<void> {
  await expect.poll(async () => answered((await send()).got)).toEqual(ANSWERED);
  const { id, got } = await send();
  expect(answered(got)).toEqual(ANSWERED);
  expect(await outcomeOf(id)).toBe("answered");
}

describe("without a receipt nothing is sent", () => {
  test("the store is locked by another process", async () => {
    const database = new DatabaseSync(platform.storeFile);
    database.exec("BEGIN IMMEDIATE");
    let calls: { id: string; got: Got }[];
    try {
      calls = await Promise.all([send(), send(), send()]);
      for (const { got } of calls) expect(answered(got)).toEqual(refusedBy("receipts_unavailable"));
    } finally {
      database.exec("ROLLBACK");
      database.close();
    }
    await goesThrough();
    for (const { id } of calls) {
      expect(destination.has(id)).toBe(false);
      expect([undefined, "not_sent"]).toContain(await outcomeOf(id));
    }
  });

  test("the store cannot grow, as on a full disk", async () => {
    const { intake } = platform;
    const command = intake.command;
    // Its log must not be what cannot grow.
    intake.command = { ...command, env: { ...command.env, STRONGROOM_LOG_LEVEL: "fatal" } };
    await intake.kill("SIGTERM");
    intake.launch();
    await goesThrough();
    execFileSync("prlimit", ["--pid", String(intake.pid), "--fsize=4096:4096"]);
    const calls = await Promise.all([send(), send(), send()]);
    for (const { got } of calls) expect(answered(got)).toEqual(refusedBy("receipts_unavailable"));
    intake.command = command;
    await intake.restart("SIGTERM");
    await goesThrough();
    for (const { id } of calls) {
      expect(destination.has(id)).toBe(false);
      expect([undefined, "not_sent"]).toContain(await outcomeOf(id));
    }
  });

  test("the store is locked while the answer comes: its completion is written later", async () => {
    const sent = send("slow");
    await expect.poll(() => destination.reached.length).toBe(1);
    const database = new DatabaseSync(platform.storeFile);
    database.exec("BEGIN IMMEDIATE");
    try {
      const { got } = await sent;
      expect(answered(got)).toEqual(ANSWERED);
      const failed = async () => (await platform.intake.log()).includes("completion was not written");
      await expect.poll(failed).toBe(true);
    } finally {
      database.exec("ROLLBACK");
      database.close();
    }
    expect(await outcomeOf((await sent).id)).toBe("answered");
  });
});

describe("the internal Vault", () => {
  test.each([
    ["is stopped", () => platform.internal.down(), () => platform.internal.up()],
    [
      "hangs",
      async () => platform.internal.signal("SIGSTOP"),
      async () => platform.internal.signal("SIGCONT"),
    ],
  ])("%s: nothing is sent, and the receipts say so", async (_, down, up) => {
    await down();
    let calls: { id: string; got: Got }[];
    try {
      calls = await Promise.all([send(), send(), send()]);
      for (const { got } of calls) expect(answered(got)).toEqual(refusedBy("key_provider_unavailable"));
    } finally {
      await up();
    }
    expect(destination.reached).toEqual([]);
    for (const { id } of calls) expect(await outcomeOf(id)).toBe("not_sent");
    await goesThrough();
  });

  test("is slow: a call waits for it, and is sent once", async () => {
    platform.internal.signal("SIGSTOP");
    const sent = send();
    await sleep(1_500);
    expect(destination.reached).toEqual([]);
    platform.internal.signal("SIGCONT");
    const { id, got } = await sent;
    expect(answered(got)).toEqual(ANSWERED);
    expect(destination.reached.map((each) => each.id)).toEqual([id]);
    expect(await outcomeOf(id)).toBe("answered");
  });
});

describe("a broker", () => {
  test("that dies while the destination answers: nobody knows what came of it", async () => {
    const sent = send("slow");
    await expect.poll(() => destination.reached.length).toBe(1);
    await broker.kill();
    const { id, got } = await sent;
    expect(answered(got)).toEqual(refusedBy("broker_unavailable"));
    expect(await outcomeOf(id)).toBe("unknown");
    await broker.start();
    await goesThrough();
  });

  test("that is away: refused at once, nothing sent", async () => {
    await broker.kill();
    const { id, got } = await send();
    expect(answered(got)).toEqual(refusedBy("broker_unavailable"));
    expect(await outcomeOf(id)).toBe("not_sent");
    await broker.start();
    await goesThrough();
  });

  test("that hangs until its caller has gone: sent at most once, and never said to be unsent", async () => {
    await goesThrough();
    destination.reached.length = 0;
    broker.signal("SIGSTOP");
    const gone = new AbortController();
    const sent = send("whole", gone.signal);
    await sleep(1_000);
    gone.abort();
    const { id } = await sent;
    expect(await outcomeOf(id)).toBe("cancelled");
    broker.signal("SIGCONT");
    await goesThrough();
    expect(destination.reached.filter((each) => each.id === id).length).toBeLessThanOrEqual(1);
  });
});

test("a caller that goes while the destination answers: cancelled", async () => {
  const gone = new AbortController();
  const sent = send("slow", gone.signal);
  await expect.poll(() => destination.reached.length).toBe(1);
  gone.abort();
  expect(await outcomeOf((await sent).id)).toBe("cancelled");
});

describe("certificates swapped at a restart: each half refuses the other until both have the new ones", () => {
  test.each([["the broker first"], ["the intake first"]])("%s", async (which) => {
    const [first, second] =
      which === "the broker first" ? [broker, platform.intake] : [platform.intake, broker];
    await writeBrokerCertificates(new StateFolder(platform.folder));
    await first.restart("SIGTERM");
    const { id, got } = await send();
    expect(answered(got)).toEqual(refusedBy("broker_unavailable"));
    expect(destination.has(id)).toBe(false);
    expect(await outcomeOf(id)).toBe("not_sent");
    await second.restart("SIGTERM");
    await goesThrough();
  });
});

test("what the control plane publishes is away: both halves go on with their copies, also after a restart", async () => {
  await platform.directoryServer.close();
  await goesThrough();
  await Promise.all([platform.intake.restart(), broker.restart()]);
  await goesThrough();
});
