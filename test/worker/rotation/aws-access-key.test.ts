import { request } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import {
  CreateAccessKeyCommand,
  CreateUserCommand,
  DeleteAccessKeyCommand,
  IAMClient,
  ListAccessKeysCommand,
  PutUserPolicyCommand,
} from "@aws-sdk/client-iam";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { selfSignedCertificate } from "../../../services/cli/platform/self-signed-certificate.ts";
import type { BrokerPolicy } from "../../../services/shared/broker/policy.ts";
import { connectByTcp } from "../../../services/worker/outbound/dial.ts";
import { type MotoServer, startMoto } from "../../harness/aws/moto.ts";
import { rotationJobs } from "../../harness/rotation-jobs.ts";

const moto = inject("moto");
const ORIGIN = "https://iam.amazonaws.com";
const now = () => Math.floor(Date.now() / 1000);

let server: MotoServer;
let front: Server;
let jobs: ReturnType<typeof rotationJobs>;
/** A root's, as far as moto is concerned. */
let iam: IAMClient;
let user = "";
let users = 0;
let first = "";

beforeAll(async () => {
  if ("missing" in moto) return;
  server = await startMoto(moto);
  iam = new IAMClient({
    ...{ endpoint: server.endpoint, region: "us-east-1" },
    credentials: { accessKeyId: "AKIAROOTROOTROOTROOT", secretAccessKey: "root-secret-of-the-test" },
  });
  const { certificate, key } = selfSignedCertificate("iam.amazonaws.com", 1);
  front = createServer({ cert: certificate, key: key.reveal() }, (incoming, response) => {
    const { method, headers, url = "" } = incoming;
    const passed = request(server.endpoint + url, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    passed.once("error", () => response.destroy());
    incoming.pipe(passed);
  });
  await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
  const { port } = front.address() as AddressInfo;
  const policy: BrokerPolicy = {
    origin: "https://s3.eu-central-1.amazonaws.com",
    inject: { sigv4: { service: "s3", region: "eu-central-1" } },
    rules: [],
    rotation: { type: "aws_access_key" },
  };
  jobs = rotationJobs(policy, {
    connect: (address) => connectByTcp(address, port),
    privateDestinations: new Map([[ORIGIN, { origin: ORIGIN, address: "127.0.0.1", ca: certificate }]]),
  });
});
afterAll(async () => {
  front?.close();
  iam?.destroy();
  await server?.stop();
});

const unauthenticated = (calls: "off" | number) =>
  fetch(`${server.endpoint}/moto-api/reset-auth`, {
    method: "POST",
    body: calls === "off" ? "inf" : `${calls}`,
  });
const keysOf = async () => {
  await unauthenticated("off");
  const { AccessKeyMetadata = [] } = await iam.send(new ListAccessKeysCommand({ UserName: user }));
  return AccessKeyMetadata.map(({ AccessKeyId = "" }) => AccessKeyId).sort();
};
const createKey = async () => {
  const { AccessKey } = await iam.send(new CreateAccessKeyCommand({ UserName: user }));
  const { AccessKeyId: accessKeyId = "", SecretAccessKey: secretAccessKey = "" } = AccessKey ?? {};
  return JSON.stringify({ accessKeyId, secretAccessKey });
};
const idOf = (value: string): string => JSON.parse(value).accessKeyId;

beforeEach(async () => {
  if ("missing" in moto) return;
  await unauthenticated("off");
  user = `app-${++users}`;
  await iam.send(new CreateUserCommand({ UserName: user }));
  await iam.send(
    new PutUserPolicyCommand({
      ...{ UserName: user, PolicyName: "own-keys" },
      PolicyDocument: JSON.stringify({
        Version: "2012-10-17",
        Statement: [{ Effect: "Allow", Action: "iam:*AccessKey*", Resource: "*" }],
      }),
    }),
  );
  first = await createKey();
  // From here on moto checks signatures and policies.
  await unauthenticated(0);
});

describe.skipIf("missing" in moto)("an access key of AWS, against an emulator that checks signatures", () => {
  test("makes its successor, which is checked, and which revokes it", async () => {
    const made = await jobs.phase("make", first, { lostSince: now() });
    const value = await jobs.opened(made.envelope);
    expect(made).toMatchObject({ key: idOf(value), currentKey: idOf(first) });
    await jobs.phase("check", first, { pending: { envelope: made.envelope ?? "" } });
    const after = { version: 2, material: await jobs.material(value, 2) };
    for (let times = 0; times < 2; times++) {
      await jobs.phase("revoke", "", { key: idOf(first), ...after });
    }
    expect(await keysOf()).toEqual([idOf(value)]);
  });

  test("a wrong secret is refused", async () => {
    const wrong = JSON.stringify({ ...JSON.parse(first), secretAccessKey: "x".repeat(40) });
    await expect(jobs.phase("make", wrong)).rejects.toMatchObject({ failure: "provider_refused" });
    const pending = await jobs.material(wrong, 2);
    await expect(jobs.phase("check", first, { pending })).rejects.toMatchObject({
      failure: "provider_refused",
    });
    expect(await keysOf()).toEqual([idOf(first)]);
  });

  test("a key that was made and lost is found, never used, and replaced", async () => {
    const since = now();
    const lost = await jobs.phase("make", first, { lostSince: since });
    const made = await jobs.phase("make", first, { lostSince: since });
    expect(await keysOf()).toEqual([idOf(first), made.key].sort());
    expect(made.key).not.toBe(lost.key);
  });

  test("somebody's older key is left alone: refused until they have deleted it", async () => {
    await unauthenticated("off");
    const theirs = await createKey();
    await unauthenticated(0);
    const made = jobs.phase("make", first, { lostSince: now() + 3600 });
    await expect(made).rejects.toMatchObject({
      failure: "provider_refused",
      message: expect.stringContaining("delete it"),
    });
    expect(await keysOf()).toEqual([idOf(first), idOf(theirs)].sort());
    await iam.send(new DeleteAccessKeyCommand({ UserName: user, AccessKeyId: idOf(theirs) }));
    await unauthenticated(0);
    expect(await jobs.phase("make", first)).toMatchObject({ state: "rotated" });
  });

  test("the current key is never revoked", async () => {
    const revoked = jobs.phase("revoke", first, { key: idOf(first) });
    await expect(revoked).rejects.toMatchObject({ failure: "policy_mismatch" });
    expect(await keysOf()).toEqual([idOf(first)]);
  });

  test.each([
    "not json",
    "{}",
    '{"accessKeyId":"AKIAAAAAAAAAAAAAAAAA"}',
    `${"x".repeat(64)}`,
  ])("a value that is no access key is not sent: %s", async (value) => {
    await expect(jobs.phase("make", value)).rejects.toMatchObject({ failure: "request_not_allowed" });
  });
});
