import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import type { Outcome } from "../../services/shared/work/messages.ts";
import { formsIn, formsOf } from "../harness/canary.ts";
import { startCorpus } from "../harness/corpus.ts";
import { type Takeover, takeOverIntake } from "../harness/takeover.ts";
import { feeds, misuses } from "./corpus/hostile-intake/misuses.ts";
import { connections, redirects } from "./corpus/hostile-intake/redirects.ts";
import { requests } from "./corpus/hostile-intake/requests.ts";
import { swaps } from "./corpus/hostile-intake/swaps.ts";

/*
 * Hostile code in the intake's place, with its real logins, its store and its queues, against real workers. Each way must
 * fail for the reason that it names, reach nobody, and show no stored value.
 */

const corpus = startCorpus("taken-over intake at the workers");

let takeover: Takeover;
let forms: ReturnType<typeof formsOf>;
beforeAll(async () => {
  takeover = await takeOverIntake(inject("vaultBinary"));
  forms = Object.values(takeover.values).flatMap(formsOf);
});
afterAll(() => takeover?.stop());
beforeEach(() => {
  for (const destination of takeover.platform.destinations) {
    destination.clear();
    destination.answer = undefined;
  }
});

const reached = () => takeover.platform.destinations.reduce((sum, { connections }) => sum + connections, 0);

test("the thief may ask for a use; the worker sends the value where it was sealed for, and nowhere else", async () => {
  const { thief, victim, platform, values } = takeover;
  const [destination, other] = platform.destinations;
  const outcome = await thief.send("integration", await thief.use(victim));
  expect(outcome).toMatchObject({ state: "answered", status: 200 });
  expect(destination?.effects).toMatchObject([{ headers: { authorization: `Bearer ${values.victim}` } }]);
  expect(other?.connections).toBe(0);
});

const all = [...redirects, ...connections, ...requests, ...swaps, ...misuses, ...feeds];

describe("no way leads to a value, or sends one to another place", () => {
  const numbered = all.map((way, index) => ({ number: index + 1, ...way }));
  test.each(numbered)("way $number: $way", async ({ way, kind = "integration", message, failure }) => {
    const { thief } = takeover;
    const outcome = await thief.send(kind, await message(takeover));
    corpus.count(way, { accepted: outcome.state !== "failed", forwarded: reached() > 0 });
    expect(outcome).toMatchObject({ state: "failed", failure });
    expect(reached()).toBe(0);
    expect(formsIn(JSON.stringify(outcome), forms)).toEqual([]);
  });

  test("of these there are at least fifty, and none succeeded", () => {
    expect(corpus).toMatchObject({ tried: all.length, accepted: [], forwarded: [] });
    expect(all.length).toBeGreaterThanOrEqual(50);
  });

  test("what does not open fails with one text, whatever the reason: it tells nothing apart", () => {
    const failed = takeover.thief.results
      .map(({ outcome }) => outcome)
      .filter((outcome): outcome is Extract<Outcome, { state: "failed" }> => outcome.state === "failed")
      .filter(({ failure }) => failure === "not_openable");
    expect(failed.length).toBeGreaterThan(50);
    expect(new Set(failed.map(({ detail }) => detail)).size).toBe(1);
  });
});

test("text that is no message is put aside, and answered nowhere", async () => {
  const { thief } = takeover;
  const { deadLetters, jobs } = thief.queuesOf("integration");
  const texts = [" ", "null", "[]", "{", '{"job":"x"}', "a".repeat(1_000_000), "[".repeat(100_000)];
  const before = (await deadLetters.list(1_000)).length;
  const answered = thief.results.length;
  for (const body of texts) await jobs.send({ body, group: "thief" });
  await expect.poll(async () => (await deadLetters.list(1_000)).length).toBe(before + texts.length);
  expect(thief.results.length).toBe(answered);
  const { victim } = takeover;
  expect(await thief.send("integration", await thief.use(victim))).toMatchObject({ state: "answered" });
});

test("no value is in a file, a queue, a dead letter or a log afterwards", async () => {
  const { platform } = takeover;
  const entries = await readdir(platform.folder, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  expect(files.filter((file) => file.endsWith(".sqlite")).length).toBeGreaterThanOrEqual(7);
  const found: Record<string, string[]> = {};
  for (const file of files) {
    const hits = formsIn(await readFile(file), forms);
    if (hits.length > 0) found[file] = hits;
  }
  expect(found).toEqual({});
});
