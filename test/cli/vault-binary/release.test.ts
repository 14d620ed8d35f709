import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readKey, reformatKey } from "openpgp";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  downloadRelease,
  HASHICORP_RELEASE,
  ReleaseError,
} from "../../../services/cli/vault-binary/release.ts";
import {
  newKey,
  type ReleaseServer,
  signature,
  startReleaseServer,
  zip,
} from "../../harness/release-server.ts";

const VERSION = "2.2.2";
const SUMS = `vault_${VERSION}_SHA256SUMS`;
const members = { "LICENSE.txt": "a licence", vault: "#!/bin/sh\necho the binary\n".repeat(100) };

let server: ReleaseServer;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "strongroom-release-"));
  server = await startReleaseServer(VERSION, members);
});
afterEach(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

const updates: string[] = [];
const step = { update: (text: string) => void updates.push(text), done() {}, fail() {} };
const download = (release = server.release, signal?: AbortSignal) =>
  downloadRelease(release, folder, { env: {}, step, signal });

/** The error of a download that must fail; nothing of the archive may have been unpacked. */
async function refusal(release = server.release): Promise<ReleaseError> {
  const error = await download(release).then(
    () => expect.unreachable("the release was accepted"),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ReleaseError);
  expect(await readdir(folder)).not.toContain("vault");
  return error as ReleaseError;
}

test("a good release: the binary is unpacked and executable", async () => {
  const path = await download();
  expect(path).toBe(join(folder, "vault"));
  expect(await readFile(path, "utf8")).toBe(members.vault);
  expect((await stat(path)).mode & 0o777).toBe(0o755);
  expect(server.requests).toEqual([SUMS, `${SUMS}.sig`, server.archive]);
});

test("checksums changed after they were signed are refused, and the archive is not asked for", async () => {
  const sums = Buffer.from(server.files.get(SUMS) as Uint8Array).toString();
  server.files.set(SUMS, Buffer.from(sums.replace(/^0/, "1")));
  expect(await refusal()).toMatchObject({
    reason: "refused",
    message: expect.stringContaining("not signed"),
  });
  expect(server.requests).not.toContain(server.archive);
});

test("a signature by another key is refused", async () => {
  await server.publish((await newKey()).privateKey);
  expect(await refusal()).toMatchObject({
    reason: "refused",
    message: expect.stringContaining("not signed"),
  });
});

test.each([
  ["empty", ""],
  ["no signature at all", "<html>sign in to this network</html>"],
])("a signature file that is %s is refused", async (_, text) => {
  server.files.set(`${SUMS}.sig`, Buffer.from(text));
  expect(await refusal()).toMatchObject({ reason: "refused" });
});

test("a signature made when the key had already expired is refused", async () => {
  const date = new Date(Date.now() - 3_600_000);
  const { privateKey, publicKey } = await newKey({ date, keyExpirationTime: 60 });
  const text = Buffer.from(server.files.get(SUMS) as Uint8Array).toString();
  server.files.set(`${SUMS}.sig`, await signature(text, privateKey, date));
  await expect(download({ ...server.release, publicKey })).resolves.toBe(join(folder, "vault"));
  await rm(join(folder, "vault"));
  await rm(join(folder, server.archive));
  await server.publish();
  expect(await refusal({ ...server.release, publicKey })).toMatchObject({ reason: "refused" });
});

test("of a key whose expiry date was moved, a copy from before and one from after are both needed", async () => {
  const fiveYears = 5 * 365 * 86_400;
  const made = await newKey({ date: new Date("2021-01-01"), keyExpirationTime: fiveYears });
  const userIDs = made.privateKey.users.map(({ userID }) => ({ name: userID?.name ?? "" }));
  const moved = await reformatKey({
    privateKey: made.privateKey,
    userIDs,
    date: new Date("2025-12-01"),
    format: "object",
  });
  const old = { ...server.release, publicKey: made.publicKey };
  const current = { ...server.release, publicKey: moved.publicKey.armor() };
  const both = { ...server.release, publicKey: `${old.publicKey}\n${current.publicKey}` };

  for (const [key, date, insufficient] of [
    [made.privateKey, "2025-01-01", current],
    [moved.privateKey, "2026-06-01", old],
  ] as const) {
    await server.publish(key, new Date(date));
    expect(await refusal(insufficient)).toMatchObject({ reason: "refused" });
    await rm(await download(both));
    await rm(join(folder, server.archive));
  }
});

test("an archive that does not have the signed checksum is refused", async () => {
  server.files.set(server.archive, zip({ ...members, vault: "something else" }));
  expect(await refusal()).toMatchObject({ reason: "refused", message: expect.stringContaining("checksum") });
});

test("an archive that ends early is refused, whether the server says so or not", async () => {
  const whole = server.files.get(server.archive) as Uint8Array;
  server.files.set(server.archive, whole.subarray(0, whole.length - 10));
  expect(await refusal()).toMatchObject({ reason: "refused" });
  await rm(join(folder, server.archive));

  server.files.set(server.archive, (response) => {
    response.writeHead(200, { "content-length": whole.length });
    response.write(whole.subarray(0, 20), () => response.destroy());
  });
  expect(await refusal()).toMatchObject({ reason: "unavailable" });
});

test("a list without this machine's archive, or with two sums for it, is refused", async () => {
  const key = await newKey();
  const release = { ...server.release, publicKey: key.publicKey };
  for (const text of [
    "",
    `${"a".repeat(64)}  other.zip\n`,
    `${"a".repeat(64)}  ${server.archive}\n`.repeat(2),
  ]) {
    server.files.set(SUMS, Buffer.from(text));
    server.files.set(`${SUMS}.sig`, await signature(text, key.privateKey));
    expect(await refusal(release)).toMatchObject({
      reason: "refused",
      message: expect.stringContaining("exactly one entry for"),
    });
  }
});

test("a signed archive that holds no vault, is no archive, or says a wrong length is refused", async () => {
  for (const body of [zip({ other: "x" }), Buffer.from("not a zip"), zip(members, 1), zip(members, -1)]) {
    server.files.set(server.archive, body);
    await server.publish();
    expect(await refusal()).toMatchObject({
      reason: "refused",
      message: expect.stringContaining(server.archive),
    });
    await rm(join(folder, server.archive));
  }
});

test("an archive or a binary above the limit is refused", async () => {
  expect(await refusal({ ...server.release, archiveLimit: 50 })).toMatchObject({
    reason: "refused",
    message: expect.stringContaining("larger than 50 bytes"),
  });
  const whole = server.files.get(server.archive) as Uint8Array;
  server.files.set(server.archive, (response) => {
    response.write(whole);
    response.end();
  });
  expect(await refusal({ ...server.release, archiveLimit: 50 })).toMatchObject({ reason: "refused" });
  await rm(join(folder, server.archive), { force: true });
  expect(await refusal({ ...server.release, binaryLimit: 50 })).toMatchObject({
    reason: "refused",
    message: expect.stringContaining("larger than 50 bytes"),
  });
});

test("a version that is not there is unavailable", async () => {
  server.files.clear();
  expect(await refusal()).toMatchObject({ reason: "unavailable", message: expect.stringContaining("404") });
});

test("a redirect is not followed", async () => {
  server.files.set(SUMS, (response) => {
    response.writeHead(302, { location: `/vault/${VERSION}/elsewhere` }).end();
  });
  expect(await refusal()).toMatchObject({ reason: "unavailable", message: expect.stringContaining("302") });
  expect(server.requests).toEqual([SUMS]);
});

test("a server that cannot be reached is unavailable, at once", async () => {
  await server.close();
  const begun = performance.now();
  expect(await refusal()).toMatchObject({
    reason: "unavailable",
    message: expect.stringContaining("ECONNREFUSED"),
  });
  expect(performance.now() - begun).toBeLessThan(5_000);
});

test("an aborted download ends with the signal's reason", async () => {
  const stop = new AbortController();
  server.files.set(server.archive, (response) => {
    response.write("a part", () => stop.abort(new Error("enough")));
  });
  await expect(download(server.release, stop.signal)).rejects.toThrow("enough");
});

test("the key carried for HashiCorp is theirs, in copies for the years before and after 2026", async () => {
  const blocks = HASHICORP_RELEASE.publicKey.split(/(?=-----BEGIN)/).slice(1);
  const keys = await Promise.all(blocks.map((armoredKey) => readKey({ armoredKey })));
  expect(keys.map((key) => key.getFingerprint())).toEqual([
    "c874011f0ab405110d02105534365d9472d7468f",
    "c874011f0ab405110d02105534365d9472d7468f",
  ]);
  const [first, second] = keys;
  if (!first || !second) expect.unreachable();
  const key = await first.update(second);
  for (const date of [new Date("2025-11-19"), new Date("2027-01-01")]) {
    expect((await key.getSigningKey(undefined, date)).getFingerprint()).toMatch(/^(c874011f|374ec75b)/);
  }
});
