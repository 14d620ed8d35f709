import { join } from "node:path";
import { pino } from "pino";
import { afterEach, expect } from "vitest";
import {
  type Revocable,
  RevocationSource,
} from "../../../../services/shared/front/published/revocation-source.ts";
import type {
  Revocation,
  RevocationList,
  TokenOwner,
} from "../../../../services/shared/front/published/revocations.ts";
import { type DirectoryServer, newDirectoryKey, startDirectoryServer } from "../../../harness/directory.ts";
import { test } from "../../../harness/folder.ts";

const key = newDirectoryKey();
const acme: TokenOwner = { issuer: "https://a.test/", claim: "org_acme" };
const others: TokenOwner[] = [
  { ...acme, claim: "org_globex" },
  { ...acme, issuer: "https://b.test/" },
];
const DIGEST = "a".repeat(43);
const token: Revocable = { key: DIGEST, tokenId: "t-1", subject: "ada", issuedAt: 1_000 };

let dir: string;
let server: DirectoryServer;
let now: number;
let log: { level: number; msg: string; reason?: string; detail?: string; version?: number; inUse?: number }[];
test.beforeEach(async ({ folder }) => {
  log = [];
  dir = folder;
  server = await startDirectoryServer(key);
  now = 2_000_000;
});
afterEach(async () => {
  await server.close();
});

const source = () =>
  new RevocationSource({
    ...{
      url: server.revocationsUrl,
      key: key.publicKey,
      copy: join(dir, "copy"),
      maxTokenLifetimeSeconds: 60,
    },
    logger: pino({}, { write: (line: string) => void log.push(JSON.parse(line)) }),
    now: () => now,
  });

let version = 2;
const publish = (...revocations: Revocation[]) =>
  server.publishRevocations({
    version: ++version,
    maxTokenLifetimeSeconds: 60,
    orgs: [{ ...acme, revocations }],
  });

const ends = 2_060;
test.each<[string, Revocation, boolean]>([
  ["its digest", { token: DIGEST, ends }, true],
  ["another digest", { token: "b".repeat(43), ends }, false],
  ["its id", { tokenId: "t-1", ends }, true],
  ["another id", { tokenId: "t-2", ends }, false],
  ["its subject, up to the second it was issued in", { subject: "ada", issuedUntil: 1_000, ends }, true],
  ["its subject, up to before it was issued", { subject: "ada", issuedUntil: 999, ends }, false],
  ["another subject", { subject: "grace", issuedUntil: 5_000, ends }, false],
])("a token is revoked by %s, and of its own issuer and organization alone", async (_, revocation, expected) => {
  await publish(revocation);
  const revocations = source();
  await revocations.refresh();
  expect(revocations.isRevoked(acme, token)).toBe(expected);
  for (const other of others) expect(revocations.isRevoked(other, token)).toBe(false);
});

test("of a subject up to the second, however early, and of no other", async () => {
  await publish({ subject: "ada", issuedUntil: 0, ends });
  const revocations = source();
  await revocations.refresh();
  expect([0, 1].map((issuedAt) => revocations.isRevoked(acme, { ...token, issuedAt }))).toEqual([
    true,
    false,
  ]);
  expect(revocations.isRevoked(acme, { ...token, subject: "grace", issuedAt: 0 })).toBe(false);
});

test("a token without an id is none that was revoked by id", async () => {
  await publish({ tokenId: "undefined", ends });
  const revocations = source();
  await revocations.refresh();
  expect(revocations.isRevoked(acme, { ...token, tokenId: undefined })).toBe(false);
});

test("of two times of one subject the later counts, in whatever order", async () => {
  const [early, late] = [500, 1_000].map((issuedUntil) => ({ subject: "ada", issuedUntil, ends })) as [
    Revocation,
    Revocation,
  ];
  for (const list of [
    [early, late],
    [late, early],
  ]) {
    await publish(...list);
    const revocations = source();
    await revocations.refresh();
    expect(revocations.isRevoked(acme, token)).toBe(true);
  }
});

test("the copy on disk is in force while the control plane is down", async () => {
  await publish({ token: DIGEST, ends });
  await source().refresh();
  await server.close();
  const revocations = source();
  expect(revocations.version).toBeUndefined();
  await revocations.loadCopy();
  await revocations.refresh();
  expect(log.at(-1)?.msg).toBe("cannot fetch the revocation list");
  expect(revocations.isRevoked(acme, token)).toBe(true);
});

test("one that is refused leaves the one in use, and shows", async () => {
  await publish({ token: DIGEST, ends });
  const revocations = source();
  await revocations.refresh();
  const inUse = version;
  await server.publishRevocations({ version: 1, maxTokenLifetimeSeconds: 60, orgs: [] });
  await revocations.refresh();
  expect(revocations).toMatchObject({ version: inUse, refusal: "older" });
  expect(revocations.isRevoked(acme, token)).toBe(true);
});

test("what is in use is said in the log, and what is refused too, once", async () => {
  await publish();
  const revocations = source();
  await revocations.refresh();
  const inUse = version;
  expect(log).toMatchObject([
    { level: 30, version: inUse, msg: "the revocation list in use is the one published" },
  ]);
  for (const version of [inUse - 1, 1]) {
    await server.publishRevocations({ version, maxTokenLifetimeSeconds: 60, orgs: [] });
    await revocations.refresh();
  }
  expect(revocations.refusal).toBe("older");
  expect(log.slice(1)).toMatchObject([
    {
      ...{ level: 50, reason: "older", inUse },
      detail: `the revocation list is refused (older): version ${inUse - 1} is older than the one in use, ${inUse}`,
      msg: "revocations: the one published is refused",
    },
  ]);
  await publish();
  await revocations.refresh();
  expect(revocations.refusal).toBeUndefined();
});

test("the same list published anew changes nothing", async () => {
  await publish();
  const revocations = source();
  await revocations.refresh();
  version--;
  await publish();
  await revocations.refresh();
  expect(log).toHaveLength(1);
});

test("what is revoked here is the list's matter once that has it of the same owner", async () => {
  await publish();
  const revocations = source();
  revocations.add(acme, DIGEST, ends);
  const onList = { maxTokenLifetimeSeconds: 60, orgs: [] as object[] };
  for (const orgs of [[], [{ ...others[0], revocations: [{ token: DIGEST, ends }] }]]) {
    await server.publishRevocations({ ...onList, version: ++version, orgs } as RevocationList);
    await revocations.refresh();
    expect(revocations.isRevoked(acme, token)).toBe(true);
  }
  await publish({ token: DIGEST, ends });
  await revocations.refresh();
  expect(revocations.isRevoked(acme, token)).toBe(true);
  await publish();
  await revocations.refresh();
  expect(revocations.isRevoked(acme, token)).toBe(false);
});

test("what is revoked here holds at once, and until the token ends though no list ever has it", async () => {
  await publish();
  const revocations = source();
  await revocations.refresh();
  revocations.add(acme, DIGEST, ends);
  expect(revocations.isRevoked(acme, token)).toBe(true);
  for (const other of others) expect(revocations.isRevoked(other, token)).toBe(false);
  await publish({ tokenId: "other", ends });
  await revocations.refresh();
  expect(revocations.isRevoked(acme, token)).toBe(true);
  now = ends * 1000 - 1;
  revocations.add(acme, "c".repeat(43), ends + 1); // forgets what has ended
  expect(revocations.isRevoked(acme, token)).toBe(true);
  now = ends * 1000;
  revocations.add(acme, "d".repeat(43), ends + 1);
  expect(revocations.isRevoked(acme, token)).toBe(false);
});
