import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { describeOnAws } from "../harness/aws/describe.ts";
import { type Iam, keyIdOf, startIam } from "../harness/iam.ts";
import { startKeyApi } from "../harness/key-api.ts";
import { describeOnPostgresql, type PostgresqlServer, startPostgresql } from "../harness/postgresql.ts";
import { seeded } from "./credential-load.ts";
import { type Kill, type Provider, type Rotated, rotateWithKills } from "./rotation-world.ts";

const WHOLE = process.env.CHAOS === "whole";
/** Rotations with one kill or more; every point is among them. */
const RUNS = WHOLE ? 1_000 : 100;
const AT_ONCE = 8;
const WITHIN_MS = WHOLE ? 3_600_000 : 600_000;
const random = seeded(Number(process.env.CHAOS_SEED ?? Date.now() % 1_000_000));

/** A provider whose keys make and revoke one another; it never revokes the stored one. */
async function restProvider(): Promise<Provider & { close(): Promise<void> }> {
  const api = await startKeyApi();
  const first = api.issue();
  return {
    ...{ policy: api.policy(first.id), first: first.value, hasGrace: true, close: api.close },
    outside: { privateDestinations: new Map([[api.origin, api.exception]]) },
    works: async (value) => api.isAlive(value),
    expectOnly: async (value) => expect(api.alive().map((key) => key.value)).toEqual([value]),
  };
}

let server: PostgresqlServer;
let roles = 0;

async function postgresqlProvider(): Promise<Provider & { close(): Promise<void> }> {
  const role = `app_${++roles}`;
  const first = `first-password-of-${role}`;
  await server.sql(`CREATE ROLE ${role} LOGIN PASSWORD '${first}'`);
  const { host, port, exception } = server;
  return {
    policy: {
      ...{ origin: "https://db.example.com", inject: { header: "Authorization", format: "{}" }, rules: [] },
      rotation: { type: "postgresql", host, port, database: "postgres", role },
    },
    ...{ first, hasGrace: false, close: async () => {} },
    outside: { privateDestinations: new Map([[exception.origin, exception]]) },
    works: (value) => server.logsIn(role, value),
    async expectOnly(value) {
      expect(await server.logsIn(role, value)).toBe(true);
      expect(await server.logsIn(role, first)).toBe(false);
    },
  };
}

let iam: Iam;

async function awsProvider(): Promise<Provider & { close(): Promise<void> }> {
  const { user, first } = await iam.newUser();
  return {
    ...{ policy: iam.policy, first, hasGrace: true, speed: 1, outside: iam.outside, close: async () => {} },
    works: async (value) => (await iam.keysOf(user)).includes(keyIdOf(value)),
    expectOnly: async (value) => expect(await iam.keysOf(user)).toEqual([keyIdOf(value)]),
  };
}

async function rotated(make: typeof restProvider, kills: Kill[]): Promise<Rotated> {
  const provider = await make();
  try {
    const result = await rotateWithKills(provider, kills);
    if (provider.hasGrace) expect(result.failedUses).toBe(0);
    return result;
  } catch (error) {
    throw new Error(`with ${JSON.stringify(kills)}`, { cause: error });
  } finally {
    await provider.close();
  }
}

/** Each point alone, then several of them together at random, until there are so many runs. */
async function everywhere(make: typeof restProvider, runs: number): Promise<Record<string, number>> {
  const { points } = await rotated(make, []);
  const some = () => points[Math.floor(random() * points.length)] as Kill;
  const plans: Kill[][] = points.map((kill) => [kill]);
  while (plans.length < runs) plans.push(Array.from({ length: 2 + Math.floor(random() * 3) }, some));
  const counts = { points: points.length, runs: 0, killed: 0, uses: 0, failedRuns: 0 };
  const next = plans.values();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const kills of next) {
        const result = await rotated(make, kills);
        counts.runs++;
        counts.killed += result.killed;
        counts.uses += result.uses;
        counts.failedRuns += result.runs.filter(({ state }) => state === "failed").length;
      }
    }),
  );
  process.stderr.write(`${JSON.stringify(counts)}\n`);
  return counts;
}

/*
 * Intake and worker are killed at every step of a rotation. At the end one key works: the stored one.
 */

test(`a provider that makes its keys: ${RUNS} rotations`, { timeout: WITHIN_MS }, async () => {
  const { runs, killed, points } = await everywhere(restProvider, RUNS);
  expect(runs).toBeGreaterThanOrEqual(RUNS);
  expect(points).toBeGreaterThan(30);
  expect(killed).toBeGreaterThanOrEqual(RUNS);
});

describeOnAws("AWS, emulated", () => {
  beforeAll(async () => {
    iam = await startIam(inject("moto"));
  });
  afterAll(() => iam?.close());

  test("a user's access key, of which there are two at most", { timeout: WITHIN_MS }, async () => {
    const { runs, points } = await everywhere(awsProvider, WHOLE ? RUNS / 4 : 0);
    expect(points).toBeGreaterThan(30);
    expect(runs).toBeGreaterThanOrEqual(points ?? 0);
  });
});

describeOnPostgresql("PostgreSQL", (programs) => {
  beforeAll(async () => {
    server = await startPostgresql(programs);
  });
  afterAll(() => server?.stop());

  test(`a role's password: ${RUNS / 2} rotations`, { timeout: WITHIN_MS }, async () => {
    const { runs, points } = await everywhere(postgresqlProvider, RUNS / 2);
    expect(runs).toBeGreaterThanOrEqual(RUNS / 2);
    expect(points).toBeGreaterThan(15);
  });
});
