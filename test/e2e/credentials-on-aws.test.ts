import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { makeKey } from "../harness/aws/cell.ts";
import { REGION } from "../harness/aws/emulated.ts";
import { type MotoServer, startMoto } from "../harness/aws/moto.ts";
import { makeQueues } from "../harness/aws/queues.ts";
import { makeStoreTable } from "../harness/aws/store-table.ts";
import { type CredentialPlatform, startCredentialPlatform } from "../harness/credentials.ts";

/*
 * The intake and a worker as they run on AWS, with DynamoDB, SQS and KMS on the wire: the emulator judges no permissions,
 * which the tests of the infrastructure do.
 */

const TABLE = "strongroom-intake";
const KINDS = ["integration", "webhook", "feed", "broker"] as const;
const KEY = "sk_live_on-aws-0123456789";

let moto: MotoServer;
let platform: CredentialPlatform;
beforeAll(async () => {
  moto = await startMoto(inject("moto"));
  await makeStoreTable(moto.endpoint, TABLE);
  const queues: Record<string, string> = {};
  const keys: Record<string, string> = {};
  for (const kind of KINDS) {
    queues[kind] = `sqs:${await makeQueues(moto.endpoint, `strongroom-${kind}-`)}`;
    keys[kind] = `kms:${await makeKey(moto.endpoint)}`;
  }
  const aws = {
    AWS_ENDPOINT_URL: moto.endpoint,
    AWS_ACCESS_KEY_ID: "emulated",
    AWS_SECRET_ACCESS_KEY: "emulated",
    STRONGROOM_AWS_REGION: REGION,
  };
  const named = KINDS.map((kind) => [`STRONGROOM_${kind.toUpperCase()}_QUEUES`, queues[kind] ?? ""]);
  const keyed = KINDS.filter((kind) => kind !== "feed").map((kind) => [
    `STRONGROOM_${kind.toUpperCase()}_KEY`,
    keys[kind] ?? "",
  ]);
  platform = await startCredentialPlatform(inject("vaultBinary"), {
    intakeSettings: {
      ...aws,
      ...Object.fromEntries([...named, ...keyed]),
      STRONGROOM_STORE: `dynamodb:${TABLE}`,
    },
    workers: ["integration"],
    workerSettings: {
      ...aws,
      STRONGROOM_QUEUES: queues.integration ?? "",
      STRONGROOM_KEY: keys.integration ?? "",
      // What a poll of the killed worker still takes comes back after this.
      STRONGROOM_VISIBILITY_SECONDS: "3",
    },
  });
});
afterAll(async () => {
  await platform?.stop();
  await moto?.stop();
});

const request = { method: "GET" as const, path: "/v1/hello" };

test("a credential is stored, used, sealed anew, used again and deleted", async () => {
  await platform.putCredential("mine", KEY);
  const first = await platform.runJob({ credential: "mine", request });
  expect(first).toMatchObject({ state: "succeeded", status: 200 });
  expect(platform.destination.effects.at(-1)?.headers.authorization).toBe(`Bearer ${KEY}`);

  const rewrap = await platform.api<{ id: string }>("POST", "/v1/credentials/mine/rewrap");
  expect(rewrap.status).toBe(202);
  await expect
    .poll(async () => (await platform.api("GET", `/v1/jobs/${rewrap.body.id}`)).body)
    .toMatchObject({ state: "succeeded" });
  expect(await platform.runJob({ credential: "mine", request })).toMatchObject({ state: "succeeded" });

  expect((await platform.api("DELETE", "/v1/credentials/mine")).status).toBe(204);
  expect((await platform.api("GET", "/v1/credentials/mine")).status).toBe(404);
});

test("a client seals to a key that the worker made, and a worker that is killed loses no job", async () => {
  const keys = await platform.api<{ keys: { state: string }[] }>("GET", "/v1/sealing-keys");
  expect(keys.body.keys).toMatchObject([{ state: "current" }]);

  await platform.putCredential("other", KEY);
  const [worker] = platform.workers;
  await worker?.kill();
  const made = await platform.api<{ id: string }>("POST", "/v1/jobs", platform.token(), {
    body: { credential: "other", request },
  });
  expect(made.status).toBe(202);
  await worker?.start();
  await expect
    .poll(async () => (await platform.api("GET", `/v1/jobs/${made.body.id}`)).body)
    .toMatchObject({ state: "succeeded" });
});

test("readiness asks the table and the keys", async () => {
  expect((await platform.api("GET", "/v1/ready")).status).toBe(200);
});
