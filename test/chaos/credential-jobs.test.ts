import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { headerPolicy } from "../harness/credential-jobs.ts";
import { type CredentialPlatform, queueRows, startCredentialPlatform } from "../harness/credentials.ts";
import type { Destination } from "../harness/destination.ts";
import type { Command, Part } from "../harness/part.ts";
import { PersistentMember, USE } from "./credential-load.ts";
import { INTAKE_STEPS } from "./programs/queues-with-fault.ts";

const program = (name: string) => fileURLToPath(new URL(`programs/${name}.ts`, import.meta.url));
const CLAIMS = ["org_acme", "org_globex"];

let platform: CredentialPlatform;
let member: PersistentMember;
let destination: Destination;
let slow: Destination;
let worker: Part;
let intakeCommand: Command;
beforeAll(async () => {
  platform = await startCredentialPlatform(inject("vaultBinary"), {
    ...{ claims: CLAIMS, destinations: 2 },
    workerSettings: { STRONGROOM_VISIBILITY_SECONDS: "2" },
  });
  [destination, slow] = platform.destinations as [Destination, Destination];
  [worker] = platform.workers as [Part];
  intakeCommand = platform.intake.command;
  for (const claim of CLAIMS)
    await platform.putCredential("provider", "sk_live_chaos_1234", platform.token(claim));
  member = new PersistentMember(platform);
});
afterAll(() => platform?.stop());
beforeEach(() => {
  for (const each of platform.destinations) {
    each.clear();
    each.answer = undefined;
  }
});

const rows = (queue: "jobs" | "results", table: "messages" | "dead") =>
  queueRows(platform.queues("integration"), queue, table);
const bodies = (queue: "jobs" | "results") => rows(queue, "messages").map(({ body }) => String(body));

/** Jobs' messages that no worker has taken; the jobs are queued. */
async function heldMessages(count: number): Promise<{ ids: string[]; messages: string[] }> {
  await worker.kill("SIGTERM");
  const ids: string[] = [];
  for (let n = 0; n < count; n++) ids.push(await member.submit(`held-${randomUUID()}`));
  return { ids, messages: bodies("jobs") };
}

const succeeded = expect.objectContaining({ state: "succeeded", attempt: 1, status: 200 });
const logOf = async (part: Part, text: string) => (await part.log()).split(text).length - 1;

describe("a worker killed at a step of a job: another one does it again", () => {
  test.each([
    ["received", 1],
    ["opened", 1],
    ["sent", 2],
    ["answered", 2],
  ])("%s", async (step, effects) => {
    await worker.kill("SIGTERM");
    const dying = await platform.startWorker("integration", {
      program: [program("worker-with-fault"), step],
    });
    const id = await member.submit(`killed-${step}`);
    await dying.ended;
    expect(dying.endedWith).toBe("SIGKILL");
    await worker.start();
    expect(await member.ended(id)).toEqual(succeeded);
    await expect.poll(() => bodies("jobs")).toEqual([]);
    expect(destination.count(id)).toBe(effects);
    expect(destination.effects).toHaveLength(effects);
  });
});

describe("the intake killed at a step of its own: the job is neither lost nor recorded twice", () => {
  test.each(INTAKE_STEPS)("%s", async (step) => {
    await platform.intake.kill("SIGTERM");
    const env = { ...intakeCommand.env, FAULT: step };
    platform.intake.command = { args: [program("intake-with-fault")], env };
    await platform.intake.start();
    const call = { body: USE, headers: { "idempotency-key": `intake-${step}` } };
    // It dies before it answers, or after.
    platform.api("POST", "/v1/jobs", platform.token(), call).catch(() => {});
    await platform.intake.ended;
    expect(platform.intake.endedWith).toBe("SIGKILL");
    platform.intake.command = intakeCommand;
    await platform.intake.start();
    const id = await member.submit(`intake-${step}`);
    expect(await member.ended(id)).toEqual(succeeded);
    const keys = destination.effects.map(({ headers }) => headers["idempotency-key"]);
    expect(new Set(keys)).toEqual(new Set([id]));
  });
});

describe("the internal Vault is gone for a while: jobs wait, and nothing new is accepted", () => {
  test.each([
    ["stopped", () => platform.internal.down(), () => platform.internal.up()],
    [
      "hanging",
      async () => platform.internal.signal("SIGSTOP"),
      async () => platform.internal.signal("SIGCONT"),
    ],
  ])("%s", async (_, down, up) => {
    const { ids } = await heldMessages(4);
    await down();
    try {
      const seen = await logOf(worker, '"failure":"key_unavailable"');
      await worker.start();
      await expect.poll(() => logOf(worker, '"failure":"key_unavailable"')).toBeGreaterThan(seen);
      const { status, body } = await platform.api<{ code: string }>("POST", "/v1/jobs", platform.token(), {
        body: USE,
      });
      expect({ status, code: body.code }).toEqual({ status: 503, code: "key_provider_unavailable" });
      expect(destination.connections).toBe(0);
    } finally {
      await up();
    }
    for (const id of ids) expect(await member.ended(id)).toEqual(succeeded);
    expect(destination.effects).toHaveLength(ids.length);
  });
});

describe("a SQLite file that nobody can write for a while", () => {
  test.each(["queues/integration/jobs", "queues/integration/results", "intake/store"])("%s", async (file) => {
    const database = new DatabaseSync(join(platform.folder, `${file}.sqlite`));
    const complaints = async () =>
      (await logOf(platform.intake, "cannot be used now")) + (await logOf(worker, "result not sent"));
    const seen = await complaints();
    const before = await member.submit(`${file}-before`);
    database.exec("BEGIN IMMEDIATE");
    const during = member.submit(`${file}-during`);
    try {
      await expect.poll(complaints).toBeGreaterThan(seen);
    } finally {
      database.exec("ROLLBACK");
      database.close();
    }
    for (const id of [before, await during]) {
      expect(await member.ended(id)).toEqual(succeeded);
      expect(destination.count(id)).toBeGreaterThan(0);
    }
  });
});

describe("a destination", () => {
  test("is down for a while", async () => {
    await destination.down();
    const id = await member.submit("down");
    const seen = await logOf(worker, '"failure":"unreachable"');
    await expect.poll(() => logOf(worker, '"failure":"unreachable"')).toBeGreaterThan(seen);
    await destination.up();
    expect(await member.ended(id)).toEqual(succeeded);
    expect(destination.count(id)).toBe(1);
  });

  test.each<[string, NonNullable<Destination["answer"]>]>([
    ["before it answers", (_, response) => response.destroy()],
    ["in the middle of its answer", (_, response) => response.write("x", () => response.destroy())],
  ])("closes connections %s: the same job's id comes again", async (_, close) => {
    destination.answer = (effect, response) => {
      if (destination.effects.length < 3) return close(effect, response);
      response.end("at last");
    };
    const id = await member.submit(randomUUID());
    expect(await member.ended(id)).toEqual(succeeded);
    expect(destination.effects.map(({ headers }) => headers["idempotency-key"])).toEqual([id, id, id]);
  });

  test("that does not answer holds up nobody else", async () => {
    const answers: (() => void)[] = [];
    slow.answer = (_, response) => answers.push(() => response.end());
    await platform.putCredential("slow", "sk_live_slow_1234", platform.token(), headerPolicy(slow.origin));
    const stuck = await Promise.all(
      Array.from({ length: 8 }, (_, index) => member.submit(`slow-${index}`, { ...USE, credential: "slow" })),
    );
    await expect.poll(() => answers.length).toBeGreaterThan(0);
    const other = new PersistentMember(platform, "org_globex");
    const ids = await Promise.all(Array.from({ length: 20 }, (_, index) => other.submit(`prompt-${index}`)));
    for (const id of ids) expect(await other.ended(id)).toEqual(succeeded);
    slow.answer = undefined;
    for (const answer of answers) answer();
    for (const id of stuck) expect(await member.ended(id)).toEqual(succeeded);
  });
});

describe("messages that the intake did not send like that", () => {
  test("twice, and in another order", async () => {
    const { ids, messages } = await heldMessages(6);
    const acme = platform.orgs.org_acme as string;
    await platform.inject("integration", "jobs", acme, ...messages.toReversed(), ...messages);
    await worker.start();
    for (const id of ids) expect(await member.ended(id)).toEqual(succeeded);
    await expect.poll(() => bodies("jobs")).toEqual([]);
    for (const id of ids) expect(destination.count(id)).toBe(3);
  });

  test("cut off, or without one of their members: parked, and the job still ends by the whole one", async () => {
    const { ids, messages } = await heldMessages(1);
    const [message = ""] = messages;
    const cut = Array.from({ length: 10 }, (_, n) =>
      message.slice(0, Math.ceil((message.length * (n + 1)) / 11)),
    );
    const acme = platform.orgs.org_acme as string;
    await platform.inject("integration", "jobs", acme, ...cut);
    const dead = rows("jobs", "dead").length;
    await worker.start();
    expect(await member.ended(ids[0] as string)).toEqual(succeeded);
    await expect.poll(() => bodies("jobs")).toEqual([]);
    expect(
      rows("jobs", "dead")
        .slice(dead)
        .map(({ reason }) => reason),
    ).toEqual(cut.map(() => "malformed"));
    expect(destination.effects).toHaveLength(1);
  });

  test("as another organization's: not opened, and neither organization's job ends by it", async () => {
    const { ids, messages } = await heldMessages(1);
    const globex = platform.orgs.org_globex as string;
    const stolen = JSON.stringify({ ...JSON.parse(messages[0] as string), org: globex });
    await platform.inject("integration", "jobs", globex, stolen);
    await worker.start();
    expect(await member.ended(ids[0] as string)).toEqual(succeeded);
    await expect.poll(() => rows("jobs", "dead").at(-1)?.reason).toBe("not_openable");
    const answer = await platform.api("GET", `/v1/jobs/${ids[0]}`, platform.token("org_globex"));
    expect(answer.status).toBe(404);
    expect(destination.effects).toHaveLength(1);
  });

  test("results: a second one, another organization's, and what is none", async () => {
    const id = await member.submit("results");
    expect(await member.ended(id)).toEqual(succeeded);
    const [acme, globex] = [platform.orgs.org_acme as string, platform.orgs.org_globex as string];
    const at = new Date().toISOString();
    const outcome = { state: "failed", failure: "internal", detail: "forged" };
    const forged = { job: id, org: acme, attempt: 1, outcome, startedAt: at, endedAt: at };
    const texts = [forged, { ...forged, org: globex }, { ...forged, attempt: 2 }].map((each) =>
      JSON.stringify(each),
    );
    await platform.inject("integration", "results", acme, ...texts, texts[0]?.slice(0, 60) as string);
    await expect.poll(() => bodies("results")).toEqual([]);
    expect(await member.ended(id)).toEqual(succeeded);
    // A dead letter would keep an answer in clear.
    expect(rows("results", "dead")).toEqual([]);
  });
});
