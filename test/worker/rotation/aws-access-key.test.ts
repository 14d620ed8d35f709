import { afterAll, beforeAll, beforeEach, expect, inject, test } from "vitest";
import { describeOnAws } from "../../harness/aws/describe.ts";
import { type Iam, keyIdOf as idOf, startIam } from "../../harness/iam.ts";
import { rotationJobs } from "../../harness/rotation-jobs.ts";

const moto = inject("moto");
const now = () => Math.floor(Date.now() / 1000);

let iam: Iam;
let jobs: ReturnType<typeof rotationJobs>;
let user = "";
let first = "";

beforeAll(async () => {
  if ("missing" in moto) return;
  iam = await startIam(moto);
  jobs = rotationJobs(iam.policy, iam.outside);
});
afterAll(() => iam?.close());
beforeEach(async () => {
  if ("missing" in moto) return;
  await iam.checksSignatures(false);
  ({ user, first } = await iam.newUser());
  await iam.checksSignatures(true);
});

const keysOf = async () => {
  await iam.checksSignatures(false);
  return iam.keysOf(user);
};

describeOnAws("an access key of AWS, against an emulator that checks signatures", () => {
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
    await iam.checksSignatures(false);
    const theirs = await iam.createKey(user);
    await iam.checksSignatures(true);
    const made = jobs.phase("make", first, { lostSince: now() + 3600 });
    await expect(made).rejects.toMatchObject({
      failure: "provider_refused",
      message: expect.stringContaining("delete it"),
    });
    expect(await keysOf()).toEqual([idOf(first), idOf(theirs)].sort());
    await iam.deleteKey(user, idOf(theirs));
    await iam.checksSignatures(true);
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
