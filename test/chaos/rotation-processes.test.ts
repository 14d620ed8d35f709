import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import type { RotationRun } from "../../services/shared/api/rotations.ts";
import { type CredentialPlatform, startCredentialPlatform } from "../harness/credentials.ts";
import type { Destination } from "../harness/destination.ts";
import { keyPolicy, providerKeys } from "../harness/key-api.ts";
import type { Part } from "../harness/part.ts";
import { describeOnPostgresql, type PostgresqlServer, startPostgresql } from "../harness/postgresql.ts";
import { seeded } from "./credential-load.ts";

const WHOLE = process.env.CHAOS === "whole";
const ROTATIONS = WHOLE ? 100 : 5;
const WITHIN_MS = WHOLE ? 3_600_000 : 400_000;
const random = seeded(Number(process.env.CHAOS_SEED ?? Date.now() % 1_000_000));

let platform: CredentialPlatform;
let destination: Destination;
let broker: Part;
const keys = providerKeys();

beforeAll(async () => {
  platform = await startCredentialPlatform(inject("vaultBinary"), {
    ...{ claims: ["org_acme"], workers: ["broker"] },
    workerSettings: { STRONGROOM_VISIBILITY_SECONDS: "2" },
  });
  ({ destination } = platform);
  [broker] = platform.workers as [Part];
  destination.answer = ({ method, url, headers }, response) => {
    const { status, body } = keys.respond(`${method} ${url}`, headers);
    response.writeHead(status, { "content-type": "application/json" });
    response.end(body && JSON.stringify(body));
  };
});
afterAll(() => platform?.stop());

const credential = (name: string, path = "") => `/v1/credentials/${name}${path}`;
/** Calls the intake, again while it is away. */
async function persistent<T>(method: "GET" | "POST" | "PUT", path: string, body?: object) {
  for (;;) {
    const answer = await platform
      .api<T>(method, path, platform.token(), body ? { body } : {})
      .catch(() => undefined);
    if (answer && answer.status < 500) return answer;
    await sleep(50);
  }
}

/** Starts a rotation until one succeeds. */
async function rotate(name: string): Promise<RotationRun> {
  for (;;) {
    await persistent("POST", credential(name, "/rotation/start"));
    for (;;) {
      const { body } = await persistent<{ run?: RotationRun }>("GET", credential(name, "/rotation"));
      if (!body.run) break;
      await sleep(50);
    }
    const path = credential(name, "/rotation/runs?limit=1");
    const [run] = (await persistent<{ runs: RotationRun[] }>("GET", path)).body.runs;
    if (run?.state === "succeeded") return run;
  }
}

test(`${ROTATIONS} rotations while the processes of intake and broker are killed`, {
  timeout: WITHIN_MS,
}, async () => {
  const first = keys.issue();
  const put = { purpose: "broker", value: first.value, destination: keyPolicy(destination.origin, first.id) };
  expect((await persistent("PUT", credential("provider"), put)).status).toBe(201);
  await persistent("PUT", credential("provider", "/rotation"), { graceSeconds: 1, enabled: false });
  let [isDone, kills] = [false, 0];
  const killer = (async () => {
    while (!isDone) {
      await sleep(100 + 900 * random());
      if (isDone) return;
      await (random() < 0.5 ? broker : platform.intake).restart();
      kills++;
    }
  })();
  for (let times = 0; times < ROTATIONS; times++) await rotate("provider");
  isDone = true;
  await killer;
  process.stderr.write(`${JSON.stringify({ rotations: ROTATIONS, kills })}\n`);
  expect(kills).toBeGreaterThan(ROTATIONS / 4);
  // The one key that works is the one that is stored: a use by it is answered.
  const [only, ...others] = keys.alive();
  expect(others).toEqual([]);
  const use = await persistent<{ me: string }>("GET", "/v1/use/provider/v1/me");
  expect(use.body).toEqual({ me: only?.id });
  const logs = `${await platform.intake.log()}${await broker.log()}`;
  expect(logs).not.toContain(only?.value);
});

describeOnPostgresql("PostgreSQL", (programs) => {
  let server: PostgresqlServer;
  beforeAll(async () => {
    server = await startPostgresql(programs);
    const file = join(broker.folder, "private-destinations.json");
    const exceptions = JSON.parse(await readFile(file, "utf8"));
    await writeFile(file, JSON.stringify([...exceptions, server.exception]));
    await broker.restart("SIGTERM");
  });
  afterAll(() => server?.stop());

  test("a worker under the flags of production changes a role's password", async () => {
    await server.sql("CREATE ROLE app LOGIN PASSWORD 'first-password-0123456789'");
    const { host, port } = server;
    const policy = {
      ...keyPolicy(destination.origin),
      rotation: { type: "postgresql", host, port, database: "postgres", role: "app" },
    };
    const put = { purpose: "broker", value: "first-password-0123456789", destination: policy };
    expect((await persistent("PUT", credential("database"), put)).status).toBe(201);
    await persistent("PUT", credential("database", "/rotation"), {});
    expect(await rotate("database")).toMatchObject({ toVersion: 2, oldKey: "replaced" });
    expect(await server.logsIn("app", "first-password-0123456789")).toBe(false);
    // By the new one alone, which nobody knows, it is changed once more.
    expect(await rotate("database")).toMatchObject({ toVersion: 3, oldKey: "replaced" });
  });
});
