import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { openQueues, type Queues } from "../../services/shared/queue/open-queues.ts";
import type { Outcome, ResultMessage } from "../../services/shared/work/messages.ts";
import { formsIn, formsOf, newCanary } from "../harness/canary.ts";
import { startCorpus } from "../harness/corpus.ts";
import { newJobId } from "../harness/credential-jobs.ts";
import { type Loot, type TakenOverIntake, takeOverIntakeOfBroker } from "../harness/taken-over-intake.ts";
import { type InternalVault, startInternalVault } from "../harness/vault.ts";
import { callers } from "./corpus/broker/callers.ts";
import { envelopes } from "./corpus/broker/envelopes.ts";
import { goings } from "./corpus/broker/going.ts";
import { operations } from "./corpus/broker/operations.ts";
import { queueWays, rotatingPolicy } from "./corpus/broker/queue.ts";
import { requests } from "./corpus/broker/requests.ts";

/*
 * Hostile code in the intake's place, with its certificate, its login at the internal Vault, its store and its queues, at a
 * real broker. Each way must fail for the reason that it names, with no request at any destination, and no value shown.
 */

const corpus = startCorpus("taken-over intake at the broker");

let internal: InternalVault;
let thief: TakenOverIntake;
let forms: ReturnType<typeof formsOf>;
beforeAll(async () => {
  internal = await startInternalVault(inject("vaultBinary"));
  thief = await takeOverIntakeOfBroker(internal);
  forms = thief.values.flatMap(formsOf);
});
afterAll(async () => {
  await thief?.stop();
  await internal?.stop();
});
beforeEach(() => {
  for (const destination of [thief.stage.destination, thief.elsewhere]) {
    destination.clear();
    destination.answer = undefined;
  }
});

/**
 * Requests that came. Connections are none: the broker connects while it opens, and whoever may make data keys may seal a
 * value of its own for any public host anyway.
 */
const reached = () => thief.stage.destination.effects.length + thief.elsewhere.effects.length;
const all = [...callers, ...envelopes, ...goings, ...requests, ...operations];

test("the thief may ask for a use by a token that it holds; the value goes where it was sealed for", async () => {
  const { stage, victim, elsewhere } = thief;
  const answer = await stage.use({ ...victim, path: "/v1/charges?q=1" });
  expect(answer.head?.status).toBe(200);
  expect(stage.destination.effects).toMatchObject([{ url: "/v1/charges?q=1" }]);
  const sent = stage.destination.effects[0]?.headers.authorization ?? "";
  expect(thief.values).toContain(sent.replace("Bearer ", ""));
  expect(formsIn(JSON.stringify(answer), forms)).toEqual([]);
  expect(elsewhere.connections).toBe(0);
});

describe("no way leads to a value, or has a request sent that no rule allows for the token held", () => {
  const numbered = all.map((way, index) => ({ number: index + 1, ...way }));
  test.each(numbered)("way $number: $way", async ({ way, attempt, failure }) => {
    const came = await attempt(thief);
    corpus.count(way, { accepted: came.failure === undefined, forwarded: reached() > 0 });
    expect([failure].flat(), JSON.stringify(came)).toContain(came.failure);
    expect(reached()).toBe(0);
    expect(formsIn(JSON.stringify(came), forms)).toEqual([]);
  });

  test("of these there are at least sixty, and none succeeded", () => {
    expect(corpus).toMatchObject({ tried: all.length, accepted: [], forwarded: [] });
    expect(all.length).toBeGreaterThanOrEqual(60);
    expect(new Set(all.map(({ way }) => way)).size).toBe(all.length);
  });
});

describe("by the broker's queue", () => {
  let queues: Queues;
  let rotating: Loot;
  const waiting = new Map<string, (outcome: Outcome) => void>();
  beforeAll(async () => {
    const broker = await thief.stage.startProcess();
    queues = await openQueues(`local:${broker.queues}`);
    queues.results.consume({ concurrency: 4, visibilitySeconds: 30, maxReceives: 5 }, async ({ body }) => {
      const { job, outcome } = JSON.parse(body) as ResultMessage;
      waiting.get(job)?.(outcome);
      return { done: true };
    });
    const policy = rotatingPolicy(thief.victim.policy);
    const value = newCanary();
    forms.push(...formsOf(value));
    const material = await thief.stage.seal(value, policy, { name: "rotating", version: 2 });
    rotating = { name: "rotating", version: 2, policy, material };
  });
  afterAll(async () => {
    await queues?.jobs.close();
    await queues?.results.close();
  });

  async function send(message: Record<string, unknown>): Promise<Outcome> {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    waiting.set(String(message.job), resolve);
    await queues.jobs.send({ body: JSON.stringify(message), group: "thief" });
    return promise;
  }

  test.each(queueWays)("$way", async ({ way, message, failure }) => {
    const outcome = await send(await message(thief, rotating));
    corpus.count(way, { accepted: outcome.state !== "failed", forwarded: reached() > 0 });
    expect(outcome).toMatchObject({ state: "failed" });
    expect([failure].flat(), JSON.stringify(outcome)).toContain((outcome as { failure: string }).failure);
    expect(reached()).toBe(0);
    expect(formsIn(JSON.stringify(outcome), forms)).toEqual([]);
  });

  test("remains possible: the sealed recipe's own steps, whose answers the thief does not see", async () => {
    const made = newCanary();
    const { destination } = thief.stage;
    destination.answer = (_, response) => void response.end(JSON.stringify({ key: made, id: "key-2" }));
    const { name, ...of } = rotating;
    const outcome = await send({
      ...{
        ...of,
        credential: name,
        job: newJobId(),
        org: thief.stage.orgs.org_acme,
        attempt: 1,
        type: "rotate",
      },
      ...{ phase: "make", once: newJobId(), lostSince: 1, notAfter: Math.floor(Date.now() / 1000) + 300 },
    });
    expect(outcome).toMatchObject({ state: "rotated", key: "key-2" });
    expect(destination.effects).toMatchObject([{ method: "POST", url: "/v1/keys" }]);
    expect(formsIn(JSON.stringify(outcome), [...forms, ...formsOf(made)])).toEqual([]);
  });
});

test("no line of the broker's log has a value", () => {
  expect(formsIn(thief.stage.log.join("\n"), forms)).toEqual([]);
  expect(thief.stage.log.length).toBeGreaterThan(100);
});
