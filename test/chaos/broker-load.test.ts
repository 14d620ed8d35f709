import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { readCheckpointKeys } from "../../services/shared/receipts/checkpoint-keys.ts";
import { type CredentialPlatform, startCredentialPlatform } from "../harness/credentials.ts";
import { startTlsServer, type TokenEndpoint } from "../harness/token-endpoint.ts";
import {
  BrokerCallers,
  CountingDestination,
  callsWithKills,
  digestOf,
  isPartial,
  loadPolicy,
  PATTERN,
} from "./broker-load.ts";
import { seeded } from "./credential-load.ts";
import { settledReceipts } from "./settled-receipts.ts";

const WHOLE = process.env.CHAOS === "whole";
const CALLS = WHOLE ? 5_000 : 300;
const WITHIN_MS = WHOLE ? 3_600_000 : 300_000;
const CLAIMS = ["org_acme", "org_globex", "org_initech", "org_umbrella"];

const destination = new CountingDestination();
let provider: TokenEndpoint;
let platform: CredentialPlatform;
let callers: BrokerCallers;
beforeAll(async () => {
  provider = await startTlsServer("provider.example.test", () => destination.handler);
  platform = await startCredentialPlatform(inject("vaultBinary"), {
    ...{ claims: CLAIMS, workers: ["broker"], exceptions: [provider.exception] },
  });
  callers = new BrokerCallers(platform.address, (claim) => platform.token(claim));
  for (const claim of CLAIMS) {
    const { status, text } = await platform.api("PUT", "/v1/credentials/provider", platform.token(claim), {
      body: { purpose: "broker", value: "sk_live_chaos_1234", destination: loadPolicy(provider.origin) },
    });
    if (status !== 201) throw new Error(text);
  }
});
afterAll(async () => {
  await callers?.close();
  await platform?.stop();
  await provider?.close();
});

test(`${CALLS} brokered calls while intake and broker are killed at random`, {
  timeout: WITHIN_MS,
}, async () => {
  const { intake, workers, orgs } = platform;
  const seed = Number(process.env.CHAOS_SEED ?? Date.now() % 1_000_000);
  const { sent, kills, seconds } = await callsWithKills({
    ...{ calls: CALLS, claims: CLAIMS, callers, destination, parts: [intake, ...workers] },
    ...{ random: seeded(seed), liveMs: WHOLE ? 5_000 : 2_000, inFlight: 24 },
  });
  const { body } = await platform.api("GET", "/v1/receipts/keys");
  const keys = readCheckpointKeys(JSON.stringify(body));
  await Promise.all([intake.kill(), ...workers.map((each) => each.kill())]);
  const { before, after, checkpoints } = await settledReceipts(platform.storeFile, Object.values(orgs), keys);

  const outcomes: Record<string, number> = {};
  for (const { completion } of after) {
    const outcome = completion?.outcome ?? "open";
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  }
  const { reached } = destination;
  const lost = before.filter(({ completion }) => !completion);
  const numbers = {
    ...{ seed, calls: CALLS, sent: sent.size, reached: reached.length, intents: after.length },
    ...{ lost: lost.length, outcomes, checkpoints, kills, seconds },
  };
  process.stderr.write(`${JSON.stringify(numbers)}\n`);
  expect(Object.keys(kills)).toHaveLength(2);

  const times = Map.groupBy(reached, ({ id }) => id);
  const callOf = (id: string) => {
    const each = sent.get(id);
    if (!each) throw new Error(`nobody has sent ${id}`);
    return each.call;
  };
  const byDigest = new Map([...sent.keys()].map((id) => [digestOf(id), id]));
  const ofSort = (sort: keyof typeof PATTERN) =>
    after.filter(({ intent }) => intent.pathPattern === PATTERN[sort]);
  /** The call of a receipt, by the digest of its body. */
  const idOf = ({ intent, completion }: (typeof after)[number]) =>
    byDigest.get(intent.bodyDigest ?? completion?.bodyDigest ?? "");

  // No request but those that may be repeated has come twice.
  for (const [id, all] of times)
    expect(all.length, id).toBeLessThanOrEqual(callOf(id).sort === "read" ? 2 : 1);

  // Every request that reached the destination has an intent, of the organization that sent it.
  const intents = new Set(ofSort("short").map(idOf));
  const unrecorded = [...times.keys()].filter((id) => callOf(id).sort === "short" && !intents.has(id));
  expect(unrecorded).toEqual([]);
  for (const sort of ["read", "streamed"] as const) {
    for (const claim of CLAIMS) {
      const came = [...times.keys()].filter((id) => callOf(id).sort === sort && callOf(id).claim === claim);
      expect(ofSort(sort).length, `${sort} of all`).toBeGreaterThanOrEqual(came.length);
    }
  }

  // What is answered has reached the destination, whose answer was whole; what is not sent never did.
  const named = after.filter((pair) => idOf(pair) !== undefined);
  expect(named.length).toBeGreaterThan(CALLS / 3);
  for (const pair of named) {
    const id = idOf(pair) ?? "";
    const all = times.get(id) ?? [];
    if (pair.completion?.outcome === "answered") {
      expect(
        all.some(({ isAnswered }) => isAnswered),
        `${id} is answered`,
      ).toBe(true);
      expect(isPartial(callOf(id).kind), id).toBe(false);
    }
    if (pair.completion?.outcome === "not_sent") expect(all, `${id} is not sent`).toEqual([]);
  }
  const reads = ofSort("read").filter(({ completion }) => completion?.outcome === "answered");
  const answeredReads = [...times].filter(
    ([id, all]) => callOf(id).sort === "read" && all.some((each) => each.isAnswered),
  );
  expect(reads.length).toBeLessThanOrEqual(answeredReads.length);

  // What a caller has is in the receipts, and no answer that broke off passed for a whole one.
  const byReceipt = new Map(after.map((pair) => [pair.intent.id, pair]));
  for (const { call, got } of sent.values()) {
    if (got.from !== "destination" || got.status === undefined) continue;
    expect(isPartial(call.kind), `${call.id} was whole to its caller`).toBe(false);
    const { outcome } = byReceipt.get(got.receipt ?? "")?.completion ?? {};
    expect(["answered", "unknown"], call.id).toContain(outcome);
  }

  // Nothing stays open, and nobody knows what came of what was.
  expect(after.filter(({ completion }) => !completion)).toEqual([]);
  const ends = new Map(
    after.map(({ intent, completion }) => [`${intent.id} ${intent.sequence}`, completion]),
  );
  for (const { intent } of lost) {
    expect(ends.get(`${intent.id} ${intent.sequence}`)).toMatchObject({
      outcome: "unknown",
      failure: "interrupted",
    });
  }
});
